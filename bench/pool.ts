/**
 * A pool of four with something wrong, on real processes, beside nginx and HAProxy in one run. The proxies take turns
 * within every round, so that whatever else the machine does meets all of them; the median of the rounds counts.
 *
 *   node bench/pool.ts [--rounds 3] [--seconds 8] [--rate 200] [--out bench/results/pool]
 */
import { writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import type { Summary } from './load.ts'
import { type ProxyName, versions } from './pool/proxies.ts'
import {
  allFailing,
  killed,
  rollingRestart,
  STEADY,
  type SteadyResult,
  steady,
  throughput,
} from './pool/scenarios.ts'

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '8' },
    rate: { type: 'string', default: '200' },
    out: { type: 'string' },
  },
})
const [rounds, durationMs, rate] = [Number(values.rounds), Number(values.seconds) * 1000, Number(values.rate)]
if (![rounds, durationMs, rate].every((value) => value > 0)) {
  console.error('--rounds, --seconds and --rate must be numbers above 0')
  process.exit(1)
}

const PROXIES: readonly ProxyName[] = ['infergate', 'nginx', 'haproxy leastconn', 'haproxy random(2)']
type Named = Readonly<Record<string, string | number>>

const rows: Named[] = []
const say = (row: Named) => {
  rows.push(row)
  console.error(
    Object.entries(row)
      .map(([name, value]) => `${name}=${value}`)
      .join('  '),
  )
}
const loadBefore = loadavg()

const results = new Map<string, SteadyResult[]>()
const rates = new Map<string, Summary[]>()
const keep = <T>(map: Map<string, T[]>, name: string, value: T) =>
  map.set(name, [...(map.get(name) ?? []), value])
for (let round = 0; round < rounds; round++) {
  for (const scenario of STEADY) {
    for (const proxy of PROXIES) {
      const result = await steady(proxy, scenario, { rate, durationMs })
      keep(results, `${scenario.name}/${proxy}`, result)
      say({
        round,
        scenario: scenario.name,
        proxy,
        p50: result.p50,
        p99: result.p99,
        failed: result.failed,
        fourthPercent: result.fourthPercent,
      })
    }
  }
  for (const scenario of STEADY.slice(0, 2)) {
    const result = await throughput('infergate', scenario, durationMs)
    keep(rates, scenario.name, result)
    say({ round, scenario: `${scenario.name}, 36 callers`, proxy: 'infergate', perSecond: result.perSecond })
  }
}

const medianOf = (list: readonly number[]): number =>
  [...list].sort((a, b) => a - b)[(list.length - 1) >> 1] ?? 0
const table: Named[] = STEADY.flatMap(({ name }) =>
  PROXIES.map((proxy): Named => {
    const all = results.get(`${name}/${proxy}`) ?? []
    const median = (of: (result: SteadyResult) => number) => medianOf(all.map(of))
    return {
      scenario: name,
      proxy,
      p50: median((result) => result.p50),
      p95: median((result) => result.p95),
      p99: median((result) => result.p99),
      failed: all.reduce((sum, { failed }) => sum + failed, 0),
      'picks of the fourth, %': median((result) => result.fourthPercent),
    }
  }),
)
const cell = (scenario: string, proxy: ProxyName, column: string): number =>
  Number(table.find((row) => row['scenario'] === scenario && row['proxy'] === proxy)?.[column] ?? Number.NaN)

const failing = await allFailing('infergate', { rate: Math.max(rate, 250), failMs: 6_000 })
say({ scenario: 'all failing', ...failing })
const kill = await killed('infergate', { rate, durationMs })
say({ scenario: 'one of four killed', calls: kill.calls, failed: kill.failed, p99: kill.p99 })
const roll = await rollingRestart({ rate, pauseMs: 1_000 })
say({ scenario: 'rolling restart', calls: roll.calls, failed: roll.failed, p99: roll.p99 })

const others = PROXIES.slice(1)
const best = (scenario: string, column: string) =>
  Math.min(...others.map((proxy) => cell(scenario, proxy, column)))
const perSecond = (scenario: string) =>
  medianOf((rates.get(scenario) ?? []).map((result) => result.perSecond))
const ratio = (a: number, b: number) => Math.round((a / b) * 1000) / 1000
const demands = [
  demand(
    'slow backend: p99 to that of three good ones alone',
    ratio(cell('slow backend', 'infergate', 'p99'), cell('three good ones', 'infergate', 'p99')),
    1.3,
  ),
  demand(
    'slow backend: throughput to that of three good ones alone, 36 callers',
    ratio(perSecond('slow backend'), perSecond('three good ones')),
    0.95,
    'least',
  ),
  demand(
    'slow backend: p99 to the best of the others',
    ratio(cell('slow backend', 'infergate', 'p99'), best('slow backend', 'p99')),
    0.2,
  ),
  demand(
    'fast failures: picks of the failing one after a second, %',
    cell('fast failures', 'infergate', 'picks of the fourth, %'),
    1,
  ),
  demand(
    'fast failures: failed calls beyond the best of the others',
    cell('fast failures', 'infergate', 'failed') - best('fast failures', 'failed'),
    0,
  ),
  demand(
    'fast failures: p99 to the best of the others',
    ratio(cell('fast failures', 'infergate', 'p99'), best('fast failures', 'p99')),
    1.2,
  ),
  demand('one of four killed: failed calls', kill.failed, 0),
  demand('rolling restart of all four: failed calls', roll.failed, 0),
  demand('all failing: calls upstream a call', failing.amplification, 1.25),
  demand('all failing: p99 of the errors, ms', failing.failedP99, 250),
  demand('all failing: recovery, ms', failing.recoveryMs, 2_000),
]

function demand(what: string, measured: number, bound: number, kind: 'most' | 'least' = 'most'): Named {
  const holds = kind === 'most' ? measured <= bound : measured >= bound
  return {
    demand: what,
    measured,
    bound: `${kind === 'most' ? '≤' : '≥'} ${bound}`,
    holds: holds ? 'yes' : 'no',
  }
}

const about = {
  date: new Date().toISOString(),
  machine: `${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
  loadAverage: `${loadBefore.map((n) => n.toFixed(1)).join(' ')} before, ${loadavg()
    .map((n) => n.toFixed(1))
    .join(' ')} after`,
  versions: versions(),
  command: `node bench/pool.ts --rounds ${rounds} --seconds ${durationMs / 1000} --rate ${rate}`,
  load: `${rate} calls a second, open loop, latency from the time a call was due; good backends 20 ms in 8 slots, the slow one 400 ms, the failing one 500 after 1 ms`,
}

function markdown(title: string, list: readonly Named[]): string {
  const names = Object.keys(list[0] ?? {})
  const line = (cells: readonly unknown[]) => `| ${cells.join(' | ')} |`
  return [
    `## ${title}\n`,
    line(names),
    line(names.map(() => '---')),
    ...list.map((row) => line(names.map((name) => row[name]))),
  ].join('\n')
}

const report = `# A pool of four with something wrong

${Object.entries({ ...about, versions: Object.values(about.versions).join(', ') })
  .map(([name, value]) => `- ${name}: ${value}`)
  .join('\n')}

Milliseconds; medians of ${rounds} rounds, failed calls summed. All proxies run one thread, with retries on another backend,
passive ejection and kept connections configured. Everything shares one machine: where the load average is above its processors,
p99 shows the machine as well as the proxy.

${markdown('What is demanded', demands)}

${markdown('Side by side', table)}
`
console.log(report)
if (values.out) {
  writeFileSync(`${values.out}.md`, report)
  writeFileSync(
    `${values.out}.json`,
    `${JSON.stringify({ about, demands, table, rounds: rows }, undefined, 2)}\n`,
  )
}
