"use strict";

// One scrubber drives all films of a player. Playing is seeking too, frame by frame, so that they can never drift apart.
for (const player of document.querySelectorAll(".player")) {
  const films = [...player.querySelectorAll("video")];
  const slider = player.querySelector("input");
  const button = player.querySelector("button");
  const clock = player.querySelector("output");
  const last = Number(slider.max), fps = Number(player.dataset.fps), rate = Math.max(1, Math.round(fps));
  let timer = 0;

  function show(frame) {
    slider.value = frame;
    const seconds = `${(frame / fps).toFixed(1)} of ${(last / fps).toFixed(1)} s`;
    clock.textContent = seconds;
    slider.setAttribute("aria-valuetext", seconds);
    for (const film of films) film.currentTime = (Math.min(frame, Number(film.dataset.last)) + 0.5) / rate;
  }

  function stop() {
    clearInterval(timer);
    timer = 0;
    button.textContent = "Play";
  }

  function play() {
    if (Number(slider.value) >= last) show(0);
    button.textContent = "Pause";
    timer = setInterval(() => {
      const next = Number(slider.value) + 1;
      show(next);
      if (next >= last) stop();
    }, 1000 / fps);
  }

  button.addEventListener("click", () => (timer ? stop() : play()));
  slider.addEventListener("input", () => {
    stop();
    show(Number(slider.value));
  });
  for (const film of films) film.controls = false;
  player.querySelector(".time").hidden = false;
  show(0);
}

// Episodes are filtered by task and outcome.
const filter = document.querySelector(".filter");
if (filter) {
  const [task, outcome] = filter.querySelectorAll("select");
  const count = filter.querySelector("output");
  const episodes = [...document.querySelectorAll(".episode")];

  function apply() {
    let shown = 0;
    for (const episode of episodes) {
      const fits = (!task.value || episode.dataset.task === task.value) &&
        (!outcome.value || episode.dataset.outcome === outcome.value);
      episode.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${episodes.length} episodes shown`;
  }

  for (const select of [task, outcome]) select.addEventListener("change", apply);
  filter.hidden = false;
  apply();
}
