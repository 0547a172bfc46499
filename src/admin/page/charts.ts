import { shortAmount } from '../../base/short-text.ts';
import type { HourSample, LastHour } from '../../observe/last-hour.ts';
import { html } from './markup.ts';
import type { Html } from './markup.ts';

interface Chart {
  readonly name: string;
  readonly value: (sample: HourSample, seconds: number) => number;
  readonly shown: (value: number) => string;
}

const CHARTS: readonly Chart[] = [
  { name: 'Open connections', value: ({ open }) => open, shown: shortAmount },
  { name: 'Sessions ended a second', value: ({ ended }, seconds) => ended / seconds, shown: small },
  { name: 'Refused a second', value: ({ refused }, seconds) => refused / seconds, shown: small },
  { name: 'Bytes a second, at the end of sessions', value: ({ bytes }, seconds) => bytes / seconds, shown: shortAmount },
  { name: 'Processor', value: ({ cpu }) => cpu * 100, shown: (value) => `${Math.round(value)}%` },
  { name: 'Memory', value: ({ resident }) => resident, shown: (value) => `${shortAmount(value)}B` },
];

const WIDTH = 240;
const HEIGHT = 48;
const MOST_POINTS = 130;
const HOUR_MS = 3_600_000;

export function chartsOf(hour: LastHour, now: number): Html {
  const seconds = hour.intervalMs / 1_000;
  const samples = hour.samples().filter(({ at }) => at > now - HOUR_MS);
  if (samples.length === 0) return html`<p>The first numbers come ${seconds} seconds after the start.</p>`;
  return html`<div class="charts">${CHARTS.map((chart) => chartOf(chart, samples, { now, seconds }))}</div>`;
}

function chartOf(
  { name, value, shown }: Chart,
  samples: readonly HourSample[],
  { now, seconds }: { readonly now: number; readonly seconds: number },
): Html {
  const values = samples.map((sample) => value(sample, seconds));
  const most = Math.max(...values);
  const points = samples.flatMap(({ at }, i) => {
    // The larger one of two numbers is as fine as the picture, and loses no peak.
    const isHalved = samples.length > MOST_POINTS;
    if (isHalved && i % 2 === 1) return [];
    const shownValue = Math.max(values[i] ?? 0, isHalved ? (values[i + 1] ?? 0) : 0);
    const x = WIDTH * (1 - (now - at) / HOUR_MS);
    return `${x.toFixed(1)} ${(HEIGHT - 2 - (shownValue / (most || 1)) * (HEIGHT - 4)).toFixed(1)}`;
  });
  const last = shown(values.at(-1) ?? 0);
  const kind = name.startsWith('Refused') && most > 0 ? 'line bad' : 'line';
  return html`<figure data-key="${name}">
    <figcaption>${name} <b>${last}</b> <small>most ${shown(most)}</small></figcaption>
    <svg
      viewBox="0 0 ${WIDTH} ${HEIGHT}"
      preserveAspectRatio="none"
      role="img"
      aria-label="${name} in the last hour: now ${last}, at most ${shown(most)}"
    >
      <path class="${kind}" d="M${points.join('L')}" />
    </svg>
  </figure> `;
}

function small(value: number): string {
  return value > 0 && value < 9.95 ? value.toFixed(1) : shortAmount(value);
}
