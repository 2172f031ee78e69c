/** Rounds of a pool with something wrong into medians, what is demanded of them, and a page to read. */
import type { Machine } from '../lib/machine.ts'
import type { ProxyName } from './proxies.ts'

/** What one contender showed in one scenario of one round. */
export type Row = Readonly<Record<string, string | number>> & {
  readonly scenario: string
  readonly proxy: ProxyName
}

/** One call of the program. */
export interface Run {
  readonly command: string
  readonly machine: Machine
  readonly rows: readonly Row[]
}

export interface Demand {
  readonly demand: string
  readonly measured: number
  readonly bound: string
  readonly holds: 'yes' | 'no'
}

const US: ProxyName = 'infergate'
const OTHERS: readonly ProxyName[] = ['nginx', 'haproxy leastconn', 'haproxy random(2)']

const medianOf = (list: readonly number[]): number => {
  const sorted = [...list].sort((a, b) => a - b)
  const half = sorted.length >> 1
  return sorted.length % 2 === 1
    ? (sorted[half] ?? Number.NaN)
    : ((sorted[half - 1] ?? Number.NaN) + (sorted[half] ?? Number.NaN)) / 2
}

const rounded = (value: number): number => Math.round(value * 1000) / 1000

class Rows {
  readonly #rows: readonly Row[]

  constructor(runs: readonly Run[]) {
    this.#rows = runs.flatMap(({ rows }) => rows)
  }

  get scenarios(): string[] {
    return [...new Set(this.#rows.map(({ scenario }) => scenario))]
  }

  /** Empty where the part has not been run. */
  values(scenario: string, proxy: ProxyName, column: string): number[] {
    return this.#rows
      .filter((row) => row.scenario === scenario && row.proxy === proxy && row[column] !== undefined)
      .map((row) => Number(row[column]))
  }

  median(scenario: string, proxy: ProxyName, column: string): number {
    return rounded(medianOf(this.values(scenario, proxy, column)))
  }

  sum(scenario: string, proxy: ProxyName, column: string): number {
    return this.values(scenario, proxy, column).reduce((sum, value) => sum + value, 0)
  }

  worst(scenario: string, column: string): number {
    return Math.max(...this.values(scenario, US, column))
  }

  /** Ours to the best of the others. */
  toTheBest(scenario: string, column: string): number {
    const best = Math.min(...OTHERS.map((proxy) => this.median(scenario, proxy, column)))
    return this.median(scenario, US, column) / best
  }
}

/** What the issue asks for; a part that was not run asks for nothing. */
function demandsOf(rows: Rows): Demand[] {
  const p99 = (scenario: string) => rows.median(scenario, US, 'p99')
  const perSecond = (scenario: string) => rows.median(scenario, US, 'perSecond')
  const bestFailed = Math.min(...OTHERS.map((proxy) => rows.sum('fast failures', proxy, 'failed')))
  return [
    most(
      'slow backend: p99 to that of three good ones alone',
      p99('slow backend') / p99('three good ones'),
      1.3,
    ),
    least(
      'slow backend, 36 callers: throughput to that of three good ones alone',
      perSecond('slow backend, 36 callers') / perSecond('three good ones, 36 callers'),
      0.95,
    ),
    most('slow backend: p99 to the best of the others', rows.toTheBest('slow backend', 'p99'), 0.2),
    most(
      'fast failures: picks of the failing one after a second, %, worst round',
      rows.worst('fast failures', 'fourthPercent'),
      1,
    ),
    most(
      'fast failures: failed calls beyond the best of the others',
      rows.sum('fast failures', US, 'failed') - bestFailed,
      0,
    ),
    most('fast failures: p99 to the best of the others', rows.toTheBest('fast failures', 'p99'), 1.2),
    most('one of four killed: failed calls, worst round', rows.worst('one of four killed', 'failed'), 0),
    most('rolling restart: failed calls, worst round', rows.worst('rolling restart', 'failed'), 0),
    most('all failing: calls upstream a call, worst round', rows.worst('all failing', 'amplification'), 1.25),
    most(
      'all failing slowly, 24 callers: calls upstream a call, worst round',
      rows.worst('all failing slowly, 24 callers', 'amplification'),
      1.25,
    ),
    most(
      'all failing slowly, 24 callers: recovery, ms, worst round',
      rows.worst('all failing slowly, 24 callers', 'recoveryMs'),
      2_000,
    ),
    most('all failing: p99 of the errors, ms, worst round', rows.worst('all failing', 'failedP99'), 50),
    most('all failing: recovery, ms, worst round', rows.worst('all failing', 'recoveryMs'), 2_000),
  ].filter(({ measured }) => Number.isFinite(measured))
}

function most(demand: string, measured: number, bound: number): Demand {
  return { demand, measured: rounded(measured), bound: `≤ ${bound}`, holds: measured <= bound ? 'yes' : 'no' }
}

function least(demand: string, measured: number, bound: number): Demand {
  return { demand, measured: rounded(measured), bound: `≥ ${bound}`, holds: measured >= bound ? 'yes' : 'no' }
}

function sideBySide(rows: Rows) {
  return rows.scenarios.flatMap((scenario) =>
    [US, ...OTHERS].flatMap((proxy) => {
      const p99 = rows.values(scenario, proxy, 'p99')
      if (p99.length === 0) return []
      const share = rows.values(scenario, proxy, 'fourthPercent')
      return {
        scenario,
        proxy,
        rounds: p99.length,
        calls: rows.sum(scenario, proxy, 'calls'),
        failed: rows.sum(scenario, proxy, 'failed'),
        p50: rows.median(scenario, proxy, 'p50'),
        p95: rows.median(scenario, proxy, 'p95'),
        'p99 (range)': `${rounded(medianOf(p99))} (${Math.min(...p99)} to ${Math.max(...p99)})`,
        'to the fourth, %': share.length > 0 ? rounded(medianOf(share)) : '',
        others: rows
          .values(scenario, proxy, 'others')
          .reduce<string | number>(
            (most, value) => (typeof most === 'number' ? Math.max(most, value) : value),
            'not watched',
          ),
      }
    }),
  )
}

export function reportOf(runs: readonly Run[]) {
  const rows = new Rows(runs)
  return { demands: demandsOf(rows), sideBySide: sideBySide(rows), runs }
}

export function markdown({ demands, sideBySide, runs }: ReturnType<typeof reportOf>): string {
  const machine = runs.at(-1)?.machine
  const versions = Object.entries(machine?.versions ?? {}).filter(([name]) =>
    ['node', 'nginx', 'haproxy'].includes(name),
  )
  return `# A pool of four with something wrong

${machine?.cpu}, ${machine?.cores} cores, Linux ${machine?.kernel}; ${versions.map(([name, version]) => `${name} ${version}`).join(', ')}.
${[...new Set(runs.map(({ command, machine: at }) => `- \`${command}\` at commit ${at.commit}, ${at.date.slice(0, 16)} UTC, load average ${at.loadAverage.toFixed(1)} at the start`))].join('\n')}

Milliseconds, from the time a call was due; medians of the rounds, calls and failures summed. In a round all proxies are loaded in turn,
each fresh, with backends of its own. Backends wait and do not compute: good ones 20 ms in 8 slots, the slow one 400 ms, the failing one
500 after 1 ms (with 36 callers in a closed loop all take three times as long). The fourth turns slow, or fails, three seconds after the
load has begun; calls count from that moment, what it gets from a second later. All proxies run one thread, with retries on another
backend, passive ejection and kept connections configured. \`others\` is how many processors other programs kept busy in the worst round;
above a tenth a measurement is made again, up to three times.

## What is demanded

${table(demands)}

## Side by side

${table(sideBySide)}
`
}

function table(list: readonly object[]): string {
  const names = Object.keys(list[0] ?? {})
  const line = (cells: readonly unknown[]) => `| ${cells.join(' | ')} |`
  return [
    line(names),
    line(names.map(() => '---')),
    ...list.map((row) => line(names.map((name) => (row as Record<string, unknown>)[name]))),
  ].join('\n')
}
