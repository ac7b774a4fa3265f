// The handler of every event in a word map; `this` is its <figure>. wordmap.py writes it into one attribute.
// The first event makes what answers the later ones; lengths are in units of the drawing unless they say pixels.
this.answers ??= (() => {
  const figure = this;
  const svg = figure.querySelector('svg');
  const field = figure.querySelector('input');
  const found = svg.querySelector('.replearn-found');
  const groups = [...svg.querySelectorAll('[data-pixels]')];
  const texts = groups.flatMap(g => [...g.children]);
  const words = texts.map(t => t.textContent);
  const places = texts.map(t => [+t.getAttribute('x'), +t.getAttribute('y')]);
  const near = figure.dataset.near?.split(',').map(row => (row.match(/\w+/g) ?? []).map(i => parseInt(i, 36)));
  const dots = [...svg.querySelectorAll('[data-dots]')];
  const {width, height} = svg.viewBox.baseVal;
  const font = 13;
  const fingers = new Map();
  let view = [width / 2, height / 2, width];
  let scale = 0;
  let chosen = [];
  let hovered = [];
  let pressed;

  const between = (low, x, high) => Math.max(low, Math.min(x, high));
  const group = i => +(figure.dataset.groups?.[i] ?? 0);

  // Shows the view of width w about (x, y). Text keeps its size on the screen, and the labels that have room appear.
  const draw = (x, y, w) => {
    const h = (w = between(width / 96, w, width)) * height / width;
    view = [between(w / 2, x, width - w / 2), between(h / 2, y, height - h / 2), w];
    svg.setAttribute('viewBox', [view[0] - w / 2, view[1] - h / 2, w, h].map(v => +v.toFixed(1)).join(' '));
    const box = svg.getBoundingClientRect();
    if (!box.width) return;
    scale = Math.min(box.width / w, box.height / h);
    svg.style.fontSize = font / scale + 'px';
    svg.style.touchAction = w < width ? 'none' : 'pan-y';
    for (const g of groups) g.setAttribute('display', +g.dataset.pixels <= scale * width ? 'inline' : 'none');
    mark();
  };
  const whole = () => draw(0, 0, width);

  // Draws the chosen words over the others, each label on the first side where it hides no other.
  const mark = () => {
    const em = font / scale;
    const shown = [...new Set([...hovered, ...chosen])];
    const add = (tag, attributes) => {
      const e = document.createElementNS(svg.namespaceURI, tag);
      for (const name in attributes) e.setAttribute(name, attributes[name]);
      return found.appendChild(e);
    };
    found.replaceChildren();
    svg.classList.toggle('replearn-chosen', chosen.length > 0);
    for (const t of texts) t.removeAttribute('visibility');
    const [x0, y0] = places[chosen[0]] ?? [];
    for (const i of chosen.slice(1))
      add('path', {d: `M${x0} ${y0}L${places[i]}`, stroke: 'currentColor', 'stroke-opacity': .4,
                   'vector-effect': 'non-scaling-stroke'});
    const inView = p => [0, 1].every(k => Math.abs(p[k] - view[k]) <= view[2] * (k ? height / width : 1) / 2);
    const taken = shown.map(i => [...places[i], .3 * em, .3 * em]);
    for (const i of shown)
      add('circle', {cx: places[i][0], cy: places[i][1], r: i === chosen[0] ? '.45em' : '.3em',
                     fill: dots[group(i)].getAttribute('stroke')});
    for (const i of shown.filter(i => inView(places[i]))) {
      const t = add('text', {dy: '.35em', 'font-weight': i === chosen[0] ? 700 : 600});
      t.textContent = words[i];
      t.word = i;
      texts[i].setAttribute('visibility', 'hidden');
      const half = t.getComputedTextLength() / 2;
      const [x, y] = places[i];
      const beside = half + .6 * em;
      const edge = Math.max(view[2] / 2 - half, 0);
      const boxes = [[0, -1.1 * em], [0, 1.1 * em], [beside, 0], [-beside, 0]].map(([dx, dy]) =>
        [dx ? x + dx : between(view[0] - edge, x, view[0] + edge), y + dy, half, .6 * em]);
      const meets = (a, b) => Math.abs(a[0] - b[0]) < a[2] + b[2] && Math.abs(a[1] - b[1]) < a[3] + b[3];
      const whole = a => [-1, 1].every(s => inView([a[0] + s * a[2] * .99, a[1] + s * a[3]]));
      const free = boxes.find(a => whole(a) && !taken.some(b => meets(a, b)));
      if (!free && i !== chosen[0] && i !== hovered[0]) { t.remove(); continue; }
      const box = free ?? boxes[0];
      taken.push(box);
      t.setAttribute('x', box[0]);
      t.setAttribute('y', box[1]);
    }
  };

  // Keeps what lies at the pixel `from` under the pixel `to`, and makes it `zoom` times larger.
  const move = (zoom, from, to = from) => {
    const box = svg.getBoundingClientRect();
    const middle = [box.x + box.width / 2, box.y + box.height / 2];
    const [p, q] = [from ?? middle, to ?? middle];
    const w = between(width / 96, view[2] / zoom, width);
    const [a, b] = [0, 1].map(k =>
      view[k] + (p[k] - middle[k]) / scale - (q[k] - middle[k]) / scale * w / view[2]);
    draw(a, b, w);
  };

  // The word under the pointer: its label, or the nearest dot that a finger would hit.
  const at = event => {
    if (!svg.contains(event.target)) return;
    const own = event.target.word ?? texts.indexOf(event.target);
    if (own >= 0) return own;
    const box = svg.getBoundingClientRect();
    const x = view[0] + (event.clientX - box.x - box.width / 2) / scale;
    const y = view[1] + (event.clientY - box.y - box.height / 2) / scale;
    const far = places.map(p => Math.hypot(p[0] - x, p[1] - y));
    const i = far.indexOf(Math.min(...far));
    if (far[i] * scale < (event.pointerType === 'mouse' ? 10 : 22)) return i;
  };

  const say = text => {
    const output = figure.querySelector('output');
    figure.hint ??= output.textContent;
    output.textContent = text || figure.hint;
  };
  const choose = (i, more = '') => {
    chosen = [i, ...near?.[i] ?? []];
    const names = [...figure.querySelectorAll('[data-group]')].map(e => e.lastChild.data.trim());
    const belongs = names.length ? ` (${names[group(i)]})` : '';
    const nearest = chosen.length > 1 ? ` Nearest in the full space: ${chosen.slice(1).map(j => words[j]).join(', ')}.` : '';
    say(words[i] + belongs + '.' + nearest + more);
    const [low, high] = [Math.min, Math.max].map(f => [0, 1].map(k => f(...chosen.map(j => places[j][k]))));
    const w = Math.max(high[0] - low[0], (high[1] - low[1]) * width / height) * 1.4;
    draw((low[0] + high[0]) / 2, (low[1] + high[1]) / 2, Math.max(w, width / 10));
  };
  const search = () => {
    const typed = field.value.trim();
    const start = typed.toLowerCase();
    chosen = [];
    if (!typed) return say(''), whole();
    const hits = [...words.keys()].filter(i => words[i].toLowerCase().startsWith(start));
    hits.sort((i, j) => words[i].length - words[j].length);
    const best = hits.find(i => words[i] === typed) ?? hits[0];
    if (best === undefined) return say(`No word begins with “${typed}”.`), mark();
    const others = hits.filter(i => i !== best).map(i => words[i]);
    const rest = others.length > 6 ? ` and ${others.length - 6} more` : '';
    choose(best, others.length ? ` Also begin with “${typed}”: ${others.slice(0, 6).join(', ')}${rest}.` : '');
  };
  const hover = i => {
    if (i === hovered[0]) return;
    hovered = i === undefined ? [] : [i];
    svg.style.cursor = hovered.length ? 'pointer' : '';
    mark();
  };

  // Centre of the fingers and, when there are two, how far apart they are.
  const grip = () => {
    const [a, b = a] = [...fingers.values()];
    return [[(a[0] + b[0]) / 2, (a[1] + b[1]) / 2], Math.hypot(a[0] - b[0], a[1] - b[1]) || 1];
  };
  const release = event => {
    fingers.delete(event.pointerId);
    if (event.type === 'pointerup' && !fingers.size && pressed?.word !== undefined) {
      field.value = words[pressed.word];
      choose(pressed.word);
    }
    if (!fingers.size) pressed = undefined;
  };

  new ResizeObserver(() => draw(...view)).observe(svg);
  window.addEventListener('beforeprint', () => {
    const before = view;
    whole();
    window.addEventListener('afterprint', () => draw(...before), {once: true});
  });
  draw(...view);

  return {
    input: search,
    click: event => {
      const button = event.target.closest('button');
      if (button) +button.value ? move(+button.value) : whole();
    },
    keydown: event => {
      if (event.target !== svg || event.ctrlKey || event.metaKey || event.altKey) return;
      const step = view[2] * scale / 8;
      const steps = {ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step]};
      const zooms = {'+': 1.5, '=': 1.5, '-': 1 / 1.5};
      const by = steps[event.key];
      if (by) move(1, [0, 0], by);
      else if (zooms[event.key]) move(zooms[event.key]);
      else if (event.key === '0') whole();
      else return;
      event.preventDefault();
    },
    wheel: event => {
      if (!svg.contains(event.target) || !(event.ctrlKey || event.metaKey)) return;
      event.preventDefault();
      move(Math.exp(between(-.5, -event.deltaY / 200, .5)), [event.clientX, event.clientY]);
    },
    pointerdown: event => {
      if (!svg.contains(event.target) || event.button) return;
      pressed = fingers.size ? {} : {word: at(event), from: [event.clientX, event.clientY]};
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      svg.setPointerCapture(event.pointerId);
    },
    pointermove: event => {
      if (!fingers.has(event.pointerId)) return event.pointerType === 'mouse' && hover(at(event));
      const [from, apart] = grip();
      fingers.set(event.pointerId, [event.clientX, event.clientY]);
      const [to, now] = grip();
      if (pressed.from && Math.hypot(to[0] - pressed.from[0], to[1] - pressed.from[1]) > 5) pressed = {};
      if (!pressed.from) move(now / apart, from, to);
    },
    pointerup: release,
    pointercancel: release,
    pointerleave: () => hover(),
  };
})();
this.answers[event.type]?.(event);
