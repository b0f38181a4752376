"""What a robot recorded: LeRobot datasets in and out.

- ``episode``     one episode in memory
- ``spool``       finished episodes on their way to a dataset, safe against a kill
- ``writer``      a spool becomes a LeRobotDataset v3.0
- ``dataset``     a LeRobotDataset (v3.0, v2.x) read: columns, frames, statistics
- ``metadata``    its meta folder, whatever the version
- ``windows``     windows of rows for training, clamped to their episode
- ``mixture``     several datasets by weight, and their common statistics
- ``cache``       decoded frames and latents kept beside a dataset
- ``video``       encode, join and decode clips
- ``statistics``  exact mean, std, min, max and quantiles
- ``layout``      names, limits and parquet types of the format
"""
