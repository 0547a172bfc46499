// Draws the headline figures as an SVG: a group of bars for each case, where shorter is better.
import { middle } from './table.ts';
import type { Answer } from './rounds.ts';

const WIDTH = 900;
const LEFT = 150;
const BAR = 12;
const COLOURS: Readonly<Record<string, string>> = {
  'zone-egress': '#1668dc',
  envoy: '#c2417c',
  haproxy: '#d48806',
  'haproxy 1 MiB': '#e8b95a',
  nginx: '#389e0d',
  'nginx 1 MiB': '#95cf7a',
  '.pipe() relay': '#8c8c8c',
  direct: '#bfbfbf',
};

export function chart(answers: readonly Answer[], title: string): string {
  const shapes: string[] = [text(10, 22, title, 15)];
  let y = 46;
  for (const { question, results } of answers) {
    const metric = question.metrics.find(({ charted }) => charted === true);
    if (metric === undefined) continue;
    for (const name of new Set(results.filter(({ headline }) => headline).map((result) => result.name))) {
      const bars = results
        .filter((result) => result.name === name)
        .map((result) => ({ who: result.contender, value: middle(result, metric.key) }))
        .filter(({ value }) => Number.isFinite(value) && value >= 0);
      if (bars.length === 0) continue;
      const most = Math.max(...bars.map(({ value }) => value), Number.MIN_VALUE);
      shapes.push(text(10, (y += 10), `${name}: ${metric.label}`, 12, 'bold'));
      y += 6;
      for (const { who, value } of bars) {
        const length = Math.max(1, (value / most) * (WIDTH - LEFT - 80));
        shapes.push(text(LEFT - 6, y + BAR - 2, who, 11, 'normal', 'end'));
        shapes.push(
          `<rect x="${LEFT}" y="${y}" width="${length.toFixed(1)}" height="${BAR - 2}" fill="${COLOURS[who] ?? '#595959'}"/>`,
        );
        shapes.push(text(LEFT + length + 5, y + BAR - 2, value.toFixed(metric.digits), 11));
        y += BAR + 2;
      }
      y += 8;
    }
  }
  const open = `<svg xmlns="http://www.w3.org/2000/svg" width="${WIDTH}" height="${y + 10}" viewBox="0 0 ${WIDTH} ${y + 10}" font-family="sans-serif">`;
  return `${open}\n<rect width="100%" height="100%" fill="#fff"/>\n${shapes.join('\n')}\n</svg>\n`;
}

function text(x: number, y: number, words: string, size: number, weight = 'normal', anchor = 'start'): string {
  const escaped = words.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x.toFixed(1)}" y="${y}" font-size="${size}" font-weight="${weight}" text-anchor="${anchor}" fill="#262626">${escaped}</text>`;
}
