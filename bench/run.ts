/**
 * `npm run bench`: the gateway against its peers, in numbers that can be believed: server and load on a core each,
 * interleaved rounds, medians, processor time beside throughput.
 *
 *   npm run bench                       every scenario, five rounds; about ten minutes
 *   npm run bench -- --quick            two rounds of one second; for work, not for claims
 *   npm run bench -- --only hit-200b    one scenario, or all whose names begin so
 *   npm run bench -- --rounds 9 --seconds 5 --out bench/results/mine
 */
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import { join, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { instant, slow } from './lib/backends.ts'
import { type Contender, type ContenderName, missing, startContender, TARGET } from './lib/contenders.ts'
import { load, loadScript } from './lib/load.ts'
import { machine } from './lib/machine.ts'
import { stopAll } from './lib/process.ts'
import {
  markdown,
  type Report,
  type Round,
  resultOf,
  type ScenarioReport,
  scenarioReport,
  write,
} from './lib/report.ts'
import { type Scenario, scenarios } from './scenarios/index.ts'

const { values: options } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    rounds: { type: 'string' },
    seconds: { type: 'string' },
    out: { type: 'string' },
  },
})
const rounds = Number(options.rounds ?? (options.quick ? 2 : 5))
const seconds = Number(options.seconds ?? (options.quick ? 1 : 4))
if (!(rounds >= 1 && seconds >= 1)) throw new Error('--rounds and --seconds are whole numbers from 1')
const chosen = scenarios.filter(({ name }) => name.startsWith(options.only))
if (chosen.length === 0)
  throw new Error(
    `no scenario begins with "${options.only}": ${scenarios.map(({ name }) => name).join(', ')}`,
  )
if (os.cpus().length < 2) throw new Error('the server and the load need a core each: this machine has one')

async function measureScenario(scenario: Scenario, folder: string): Promise<ScenarioReport> {
  const backend = await (scenario.msPerRow === undefined ? instant(folder) : slow(scenario.msPerRow))
  const place = {
    folder,
    backendPort: backend.port,
    bodyBytes: scenario.bodies.kind === 'batch' ? 100_000 : scenario.bodies.bytes,
    rows: scenario.bodies.kind === 'batch' ? ('always' as const) : ('never' as const),
  }
  const script = loadScript(folder, scenario.name, scenario.bodies)
  const left: string[] = []
  const started: { name: ContenderName; contender: Contender; rounds: Round[] }[] = []
  for (const name of scenario.contenders) {
    const lacks = missing(name)
    if (lacks) left.push(`${name} (needs ${lacks})`)
    else started.push({ name, contender: await startContender(name, place), rounds: [] })
  }
  const run = (contender: Contender, forSeconds: number) =>
    load({
      script,
      url: `http://127.0.0.1:${contender.port}${TARGET}`,
      connections: scenario.connections,
      seconds: forSeconds,
    })
  // Caches fill, compilers compile: nothing of this is measured.
  for (const { contender } of started) await run(contender, options.quick ? 1 : 3)
  if (scenario.bodies.kind !== 'unique') await proveCached(scenario, started)
  for (let round = 0; round < rounds; round++)
    for (const { contender, rounds } of started) {
      const before = cpu(contender)
      const measured = await run(contender, seconds)
      rounds.push({
        ...measured,
        cpuMicrosPerRequest: (cpu(contender) - before) / Math.max(1, measured.requests),
      })
    }
  await stopAll()
  const results = started.map(({ name, rounds }) => resultOf(scenario, name, rounds))
  return scenarioReport(scenario, results, left)
}

/** Of the server alone; a Redis beside it has a core of its own. */
function cpu({ processes }: Contender): number {
  return processes[0]?.cpuMicros() ?? 0
}

/** What is not a hit would be measured as something else: the cache's own word for a repeated request is asked for. */
async function proveCached(
  { bodies }: Scenario,
  started: readonly { readonly name: ContenderName; readonly contender: Contender }[],
): Promise<void> {
  const wanted = bodies.kind === 'batch' ? /fwd=partial/ : /infergate; hit/
  for (const { name, contender } of started.filter(({ name }) => name.startsWith('infergate'))) {
    const url = `http://127.0.0.1:${contender.port}${TARGET}`
    const ask = async (body: string) => {
      const answer = await fetch(url, {
        method: 'POST',
        body,
        headers: { 'content-type': 'application/json' },
      })
      await answer.arrayBuffer()
      return answer.headers.get('cache-status') ?? ''
    }
    await ask('{"instances":[[0.5,0.5],[0.25,0.5]]}')
    const status = await ask(`{"instances":[[0.5,0.5],[${bodies.kind === 'batch' ? '0.75' : '0.25'},0.5]]}`)
    if (!wanted.test(status)) throw new Error(`${name} does not answer from its cache: "${status}"`)
  }
}

const command = ['npm run bench --', ...process.argv.slice(2)].join(' ')
const about = machine()
const reports: ScenarioReport[] = []
const out =
  options.out ??
  join(import.meta.dirname, 'results', `${about.date.slice(0, 10)}${options.quick ? '-quick' : ''}`)
// In memory, where there is such a place: nobody's disk is measured.
const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'infergate-bench-'))
// Servers that run as a user of their own read their configuration there.
chmodSync(folder, 0o755)
process.on('SIGINT', () => void stopAll().then(() => process.exit(130)))
try {
  for (const scenario of chosen) {
    process.stderr.write(`${scenario.title} …\n`)
    reports.push(await measureScenario(scenario, folder))
  }
  const report: Report = { command, machine: about, rounds, seconds, scenarios: reports }
  write(report, out)
  process.stdout.write(`${markdown(report)}\nwritten to ${relative(process.cwd(), out)}\n`)
} finally {
  await stopAll()
  rmSync(folder, { recursive: true, force: true })
}
