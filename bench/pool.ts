/**
 * A pool of four with something wrong, on real processes, beside nginx and HAProxy. The proxies take turns within every
 * round, so that whatever else the machine does meets all of them; the medians of the rounds count.
 *
 *   node bench/pool.ts slow       one backend becomes slow
 *   node bench/pool.ts callers    the same under 36 callers who wait for their answers; the gateway alone
 *   node bench/pool.ts fast       one backend fails fast
 *   node bench/pool.ts faults     one is killed; all are restarted in turn; all fail; the gateway alone
 *
 *   --rounds N     rounds in which the proxies take turns (default 1); a part takes a minute or two a round
 *   --seconds N    of each measurement (default 10)
 *   --rate N       calls a second (default 500)
 *   --out NAME     writes NAME.json and NAME.md, such as bench/results/pool
 *   --more         adds the rounds to those that NAME.json has already, so that a long measurement can be made of short ones
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { type Machine, machine } from './lib/machine.ts'
import { help } from './lib/usage.ts'
import type { ProxyName } from './pool/proxies.ts'
import { markdown, type Row, type Run, reportOf } from './pool/report.ts'
import {
  allFailing,
  killed,
  rollingRestart,
  SLOWLY_FAILING,
  STEADY,
  type Steady,
  steady,
  throughput,
} from './pool/scenarios.ts'

const PROXIES: readonly ProxyName[] = ['infergate', 'nginx', 'haproxy leastconn', 'haproxy random(2)']

/** What is wrong with the command line is told without a stack. */
function parsed() {
  try {
    return parseArgs({ allowPositionals: true, options: OPTIONS })
  } catch (error) {
    console.error(`${(error as Error).message.split('. ')[0]}; --help lists the options`)
    process.exit(1)
  }
}

const OPTIONS = {
  rounds: { type: 'string', default: '1' },
  seconds: { type: 'string', default: '10' },
  rate: { type: 'string', default: '500' },
  out: { type: 'string' },
  more: { type: 'boolean', default: false },
} as const

help(import.meta.filename)
const { values, positionals } = parsed()
const [rounds, durationMs, rate] = [Number(values.rounds), Number(values.seconds) * 1000, Number(values.rate)]

const rows: Row[] = []
const say = (row: Row): void => {
  rows.push(row)
  const cells = Object.entries(row).map(([name, value]) => `${name}=${value}`)
  console.error(cells.join('  '))
}

/** Above this many processors kept busy by other programs, a measurement is made again. */
const DISTURBED = 0.1
const TRIES = 4

async function undisturbed<T extends { readonly others: number }>(measure: () => Promise<T>): Promise<T> {
  let result = await measure()
  for (let tries = 1; tries < TRIES && result.others > DISTURBED; tries++) {
    console.error(`made again: other programs kept ${result.others} processors busy`)
    result = await measure()
  }
  return result
}

async function compare(scenario: Steady): Promise<void> {
  for (const proxy of PROXIES) {
    const result = await undisturbed(() => steady(proxy, scenario, { rate, durationMs }))
    say({ scenario: scenario.name, proxy, ...result })
  }
}

const parts: Readonly<Record<string, () => Promise<void>>> = {
  async slow() {
    const [alone, slow] = STEADY
    for (const scenario of [alone, slow]) await compare(scenario)
  },
  async callers() {
    const [alone, slow] = STEADY
    for (const scenario of [alone, slow]) {
      const summary = await undisturbed(() => throughput('infergate', scenario, durationMs))
      say({ scenario: `${scenario.name}, 36 callers`, proxy: 'infergate', ...summary })
    }
  },
  fast: () => compare(STEADY[2]),
  async faults() {
    const proxy = 'infergate'
    say({ scenario: 'one of four killed', proxy, ...(await killed(proxy, { rate, durationMs })) })
    say({ scenario: 'rolling restart', proxy, ...(await rollingRestart({ rate, pauseMs: 1_000 })) })
    say({ scenario: 'all failing', proxy, ...(await allFailing(proxy, { rate: 200, failMs: 6_000 })) })
    const waiting = { callers: 24, failMs: 6_000, failing: SLOWLY_FAILING }
    say({ scenario: 'all failing slowly, 24 callers', proxy, ...(await allFailing(proxy, waiting)) })
  },
}

const part = parts[positionals[0] ?? '']
if (part === undefined || ![rounds, durationMs, rate].every((value) => value > 0)) {
  console.error(
    `usage: node bench/pool.ts ${Object.keys(parts).join('|')}, with numbers above 0; --help says more`,
  )
  process.exit(1)
}

const at: Machine = machine()
for (let round = 0; round < rounds; round++) await part()

const command = `node bench/pool.ts ${positionals[0]} --rounds ${rounds} --seconds ${durationMs / 1000} --rate ${rate}`
const file = `${values.out}.json`
const before =
  values.more && existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as { runs: Run[] }).runs : []
const report = reportOf([...before, { command, machine: at, rows }])
console.log(markdown(report))
if (values.out) {
  writeFileSync(file, `${JSON.stringify(report, undefined, 1)}\n`)
  writeFileSync(`${values.out}.md`, markdown(report))
}
