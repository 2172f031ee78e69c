/** `npm run bench`: see `npm run bench -- --help`, and README.md beside this file for how to read what it writes. */
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import os from 'node:os'
import { join, relative } from 'node:path'
import { baselineOf, falls, keepBaseline, readBaseline } from './lib/baseline.ts'
import { advice, install, packagesFor } from './lib/install.ts'
import { machine } from './lib/machine.ts'
import { markdown } from './lib/markdown.ts'
import { measure } from './lib/measure.ts'
import { HELP, Mistake, type Options, parseOptions } from './lib/options.ts'
import { estimate, forQuick, listing, spoken } from './lib/plan.ts'
import { stopAll } from './lib/process.ts'
import { profile } from './lib/profile.ts'
import { type ScenarioReport, scenarioReport } from './lib/report.ts'
import { ENOUGH_ROUNDS, keep } from './lib/results.ts'
import { missingTools } from './lib/servers.ts'
import { scenarios } from './scenarios.ts'

const RESULTS = join(import.meta.dirname, 'results')
const BASELINE = join(import.meta.dirname, 'baseline.json')
const SCRATCH = join(import.meta.dirname, '..', '.cache', 'bench')

async function run(options: Options): Promise<void> {
  const { command, pace } = options
  const chosen = pace.quick ? options.scenarios.map(forQuick) : options.scenarios
  if (command === 'help') return void process.stdout.write(`${HELP}\n`)
  if (command === 'list') return void process.stdout.write(`${listing(chosen, pace)}\n`)
  if (os.availableParallelism() < 2)
    throw new Mistake('the server and the load need a core each: this machine has one')
  const servers = chosen.flatMap(({ sides }) => sides.map(({ server }) => server))
  if (options.install) install(packagesFor(servers))
  if (missingTools().length > 0) throw new Mistake(`needed first, or --install: ${advice(missingTools())}`)
  await within(async (folder) => {
    if (command === 'profile')
      await profile({ ...options, scenarios: chosen, out: options.out ?? RESULTS }, folder)
    else await measureAll({ ...options, scenarios: chosen }, folder)
  })
}

async function measureAll(options: Options, folder: string): Promise<void> {
  const { pace } = options
  const command = ['npm run bench', ...process.argv.slice(2)].join(' ').replace('bench ', 'bench -- ')
  const made = { command, machine: machine() }
  const began = performance.now()
  const believed = pace.rounds >= ENOUGH_ROUNDS && !pace.quick
  const out = options.out ?? (believed ? join(RESULTS, 'gateway') : SCRATCH)
  let left = options.scenarios.reduce((sum, one) => sum + estimate(one, pace), 0)
  const now: ScenarioReport[] = []
  for (const scenario of options.scenarios) {
    say(`${scenario.name}: ${scenario.title} (${spoken(left)} left)`)
    const outcome = await measure(scenario, { folder, pace }, (line) => say(`  ${line}`))
    now.push(scenarioReport(scenario, outcome, made))
    // After each, so that a run that is cut short loses nothing.
    keep(out, scenarios, now)
    left -= estimate(scenario, pace)
  }
  process.stdout.write(
    `${markdown({ scenarios: now })}\nwritten to ${relative(process.cwd(), out)}, after ${spoken((performance.now() - began) / 1000)}\n`,
  )
  if (options.baseline) keepBaseline(BASELINE, readBaseline(BASELINE), baselineOf(now))
  if (options.check) check(now)
}

function check(now: readonly ScenarioReport[]): void {
  const fallen = falls(readBaseline(BASELINE), now)
  for (const { claim, now, before } of fallen)
    say(
      `fallen: ${claim} is ${now?.value.toPrecision(3) ?? 'not measured'}, was ${before.value.toPrecision(3)}`,
    )
  if (fallen.length > 0) process.exitCode = 1
  else say('no claim has fallen by more than its noise')
}

const say = (line: string): void => void process.stderr.write(`${line}\n`)

/** In memory, where there is such a place: nobody's disk is measured. */
async function within(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : os.tmpdir(), 'infergate-bench-'))
  // Servers that run as a user of their own read their configuration there.
  chmodSync(folder, 0o755)
  const tidy = async (): Promise<void> => {
    await stopAll()
    rmSync(folder, { recursive: true, force: true })
  }
  for (const [signal, code] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)
    process.once(signal, () => void tidy().then(() => process.exit(code)))
  try {
    await work(folder)
  } finally {
    await tidy()
  }
}

try {
  await run(parseOptions(process.argv.slice(2), scenarios))
} catch (error) {
  if (!(error instanceof Mistake)) throw error
  process.stderr.write(`bench: ${error.message}\n`)
  process.exitCode = 1
}
