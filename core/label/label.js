'use strict';
(() => {
  const by = (id) => document.getElementById(id);
  const sides = ['left', 'right'];
  const keys = { ArrowLeft: 'left', ArrowRight: 'right', ArrowDown: 'tie', s: 'skip', S: 'skip', u: 'undo', U: 'undo' };
  let state = null; // what the server said last
  let busy = true; // a request is under way, or the pictures are: what is pressed now was not meant for them
  let since = 0;
  let ahead = []; // the next pair's pictures, on their way into the browser's cache

  const address = (pair, side) => `picture/${pair}/${side}`;

  async function ask(path, body) {
    const post = { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) };
    const said = await (await fetch(path, body ? post : {})).json();
    if (said.error) throw new Error(said.error);
    return said;
  }

  async function load(side) {
    const image = by(side).querySelector('img');
    image.src = address(state.pair, side);
    await image.decode();
    image.classList.toggle('coarse', image.naturalWidth < 256); // small pictures are scaled up in whole pixels
  }

  function tell(problem) {
    by('message').textContent = problem;
  }

  function hold(held) {
    busy = held;
    document.body.classList.toggle('busy', held);
  }

  function tally() {
    const { votes, ties, skipped } = state;
    return `You judged ${votes} pair${votes === 1 ? '' : 's'}` + (ties ? `, ${ties} of them equally good` : '') +
      (skipped ? `; ${skipped} you could not say` : '') + '.';
  }

  async function show(next) {
    state = next;
    by('bar').max = state.pairs || 1;
    by('bar').value = state.pairs ? state.pair : 1;
    by('count').textContent = `${state.pair} of ${state.pairs} judged, ${state.left} left`;
    by('task').hidden = state.done;
    by('thanks').hidden = !state.done;
    by('question').hidden = state.done;
    by('tie').hidden = by('skip').hidden = state.done;
    by('undo').disabled = state.pair === 0;
    for (const side of sides) by(side).classList.remove('chosen');
    if (state.done) {
      by('tally').textContent = tally();
    } else {
      by('prompt').textContent = state.prompt;
      try {
        await Promise.all(sides.map(load));
      } catch {
        tell('A picture cannot be shown. Press S to pass over this pair.');
      }
      if (state.left > 1) {
        ahead = sides.map((side) => {
          const image = new Image();
          image.src = address(state.pair + 1, side);
          return image;
        });
      }
    }
    since = performance.now();
    hold(false);
  }

  async function act(path, body) {
    if (busy) return;
    hold(true);
    tell('');
    try {
      await show(await ask(path, body));
    } catch (problem) {
      tell(problem instanceof TypeError ? 'dipp label has ended. Start it again to go on; every vote so far is kept.'
        : problem.message);
      for (const side of sides) by(side).classList.remove('chosen');
      hold(false);
    }
  }

  function choose(what) {
    if (busy || !state) return;
    if (what === 'undo') {
      if (state.pair > 0) act('undo', {});
    } else if (!state.done) {
      if (sides.includes(what)) by(what).classList.add('chosen');
      act('vote', { pair: state.pair, winner: what, seconds: Math.min((performance.now() - since) / 1000, 86400) });
    }
  }

  for (const id of ['left', 'right', 'tie', 'skip', 'undo']) by(id).addEventListener('click', () => choose(id));
  document.addEventListener('keydown', (event) => {
    const what = keys[event.key];
    if (!what || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    if (!event.repeat) choose(what);
  });
  ask('state').then(show, (problem) => tell(problem.message));
})();
