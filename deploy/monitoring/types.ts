/** The parts of Prometheus and Grafana that deploy/monitoring is made of. */

/** Times in the expressions; the proof of the alerts takes shorter ones. */
export interface Windows {
  /** Of rates. */
  readonly rate: string;
  /** How far back a jump is compared. */
  readonly before: string;
  /** How long a single event is remembered. */
  readonly event: string;
}

export interface Recording {
  readonly record: string;
  readonly expr: string;
}

export interface Alert {
  readonly name: string;
  readonly severity: 'critical' | 'warning';
  readonly expr: string;
  /** In minutes; 0 fires at once. */
  readonly forMinutes: number;
  /** One sentence, with `{{ $labels.x }}`. */
  readonly summary: string;
  /** What to do, in one sentence. */
  readonly runbook: string;
  /** The page of this repository about it, with its heading. */
  readonly docs: string;
  /** What the test of promtool feeds: series in its notation, one value a minute. */
  readonly series: readonly string[];
  /** The labels that the alert then has, without its name and severity. */
  readonly labels: Readonly<Record<string, string>>;
}

export interface Query {
  readonly expr: string;
  readonly legend: string;
}

export interface Panel {
  readonly title: string;
  readonly description: string;
  readonly type: 'timeseries' | 'stat' | 'table';
  /** Of 24 columns. */
  readonly width: number;
  /** A unit of Grafana. */
  readonly unit: string;
  readonly queries: readonly Query[];
}

export interface Row {
  readonly title: string;
  readonly panels: readonly Panel[];
}
