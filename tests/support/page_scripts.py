"""What tests run in the status page: to look at it, and to be its visitor."""

from __future__ import annotations

# A page that is looked at again asks at once.
SEEN_AGAIN = "document.dispatchEvent(new Event('visibilitychange'))"

# Keeps the delays of the timers that are still to come.
TIMERS = """(() => {
  window.timers = new Map();
  const [set, clear] = [window.setTimeout, window.clearTimeout];
  window.setTimeout = (what, delay) => {
    const timer = set(() => {
      timers.delete(timer);
      what();
    }, delay);
    timers.set(timer, delay);
    return timer;
  };
  window.clearTimeout = (timer) => {
    timers.delete(timer);
    clear(timer);
  };
})()"""

# Gives what has the focus, by its words, and whether a ring shows it.
FOCUSED = """(() => {
  const at = document.activeElement;
  const style = getComputedStyle(at);
  return {
    id: at.id,
    word: at === document.body ? '' : at.id === 'filter' ? 'filter' : at.innerText,
    ring: style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2,
  };
})()"""

# Gives how many seconds it took to type a word into the filter and see the rows.
TYPING = """(() => {
  const filter = document.querySelector('#filter');
  const began = performance.now();
  for (const word of ['m', 'mo', 'model-0', 'model-098', 'model-0987']) {
    filter.value = word;
    filter.dispatchEvent(new Event('input'));
    document.body.offsetHeight;
  }
  return (performance.now() - began) / 1000;
})()"""

# Of every element that has words of its own: its colour, and the grounds behind it laid together.
CONTRAST = """(() => {
  const paint = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const bytes = (colors) => {
    paint.clearRect(0, 0, 1, 1);
    for (const color of colors) {
      paint.fillStyle = color;
      paint.fillRect(0, 0, 1, 1);
    }
    return [...paint.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((byte) => {
      const part = byte / 255;
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const faint = [];
  let count = 0;
  for (const each of document.body.querySelectorAll('*')) {
    const words = [...each.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!words || !each.checkVisibility() || each.closest('noscript, .unseen, .skip')) continue;
    const grounds = [];
    for (let up = each; up; up = up.parentElement) {
      grounds.unshift(getComputedStyle(up).backgroundColor);
    }
    const ground = light(bytes(grounds));
    const word = light(bytes([...grounds, getComputedStyle(each).color]));
    const contrast = (Math.max(ground, word) + 0.05) / (Math.min(ground, word) + 0.05);
    count += 1;
    if (contrast < 4.5) faint.push([each.outerHTML, contrast]);
  }
  return [faint, count];
})()"""
