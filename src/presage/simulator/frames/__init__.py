"""Measures in the frames: poses and regions read from imagined images, in telling scenes of the simulator."""
