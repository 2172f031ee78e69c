/** `npm run bench -- profile NAME`: where the processor time of the gateway goes under a scenario's load. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { join, relative } from 'node:path'
import { instant, slow } from './backends.ts'
import { byStage, type CpuProfile, fold, selfByFile, type Window } from './cpuprofile.ts'
import { flameGraph } from './flame.ts'
import { machine } from './machine.ts'
import { type LoadMeasure, loadFor, placeFor } from './measure/load.ts'
import { Mistake, type Options } from './options.ts'
import { othersMicros } from './procfs.ts'
import { nameOf, type Scenario, type Side } from './scenario.ts'
import { startServer } from './servers.ts'
import { load, loadScript, type Measured } from './wrk.ts'

const INTERVAL_MICROS = 200
const WARM_SECONDS = 3
const SECONDS = 6
const FILES = 25
const LEAST_SHARE = 0.002

export async function profile(
  { scenarios, side, out = '.' }: Pick<Options, 'scenarios' | 'side' | 'out'>,
  folder: string,
): Promise<void> {
  const [scenario] = scenarios
  if (!scenario || scenarios.length > 1)
    throw new Mistake(`profile takes one scenario: ${scenarios.map(({ name }) => name).join(', ')}`)
  const { measure } = scenario
  if (measure.kind !== 'load') throw new Mistake(`${scenario.name} is not a load that can be profiled`)
  const chosen = sideOf(scenario, side)
  process.stderr.write(
    `${scenario.name}, ${nameOf(chosen)}: ${WARM_SECONDS} s to warm up, ${SECONDS} s of profile\n`,
  )
  const recorded = await record(measure, chosen, folder)
  const root = fold(recorded.profiles, recorded.window)
  const taken = { total: root.totalMicros, cpuMicros: recorded.cpuMicros }
  const title = `Where the time goes: ${scenario.title} (${nameOf(chosen)})`
  const name = `profile-${scenario.name}`
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, `${name}.svg`), flameGraph(root, title))
  const page = [
    `# ${title}`,
    about(recorded),
    `![flame graph](${name}.svg)`,
    `## By stage\n\nWhat Node and the engine do for a stage is charged to it; what is garbage is charged to nobody.\n\n${table('stage', byStage(root), taken)}`,
    `## By file, each for itself\n\n${table('file', selfByFile(root).slice(0, FILES), taken)}`,
  ].join('\n\n')
  writeFileSync(join(out, `${name}.md`), `${page}\n`)
  process.stdout.write(`${page}\nwritten to ${relative(process.cwd(), join(out, `${name}.svg`))} and .md\n`)
}

function sideOf({ sides, name }: Scenario, wanted: string | undefined): Side {
  const ours = sides.filter(({ server }) => server.startsWith('infergate'))
  const side = wanted === undefined ? ours[0] : ours.find((each) => nameOf(each) === wanted)
  if (!side)
    throw new Mistake(
      `${name} can be profiled for ${ours
        .map(nameOf)
        .map((each) => `"${each}"`)
        .join(', ')}`,
    )
  return side
}

interface Recorded {
  readonly measured: Measured
  readonly window: Window
  readonly profiles: readonly CpuProfile[]
  /** Of a request, as the kernel counts it. */
  readonly cpuMicros: number
  /** Share of the machine that others took meanwhile. */
  readonly others: number
}

async function record(measure: LoadMeasure, side: Side, folder: string): Promise<Recorded> {
  const backend = await (measure.msPerRow === undefined ? instant(folder) : slow(measure.msPerRow))
  const nodeArgs = [
    '--cpu-prof',
    `--cpu-prof-dir=${folder}/profiles`,
    `--cpu-prof-interval=${INTERVAL_MICROS}`,
  ]
  const server = await startServer(side.server, {
    ...placeFor(measure, { folder, backendPort: backend.port }),
    nodeArgs,
  })
  const script = loadScript(folder, 'profile', side.bodies ?? measure.bodies)
  const run = { ...loadFor(measure), script, url: server.url }
  await load({ ...run, seconds: WARM_SECONDS })
  const look = () => ({
    at: nowMicros(),
    cpu: server.processes[0]?.cpuMicros() ?? 0,
    others: othersMicros(process.pid),
  })
  const before = look()
  const measured = await load({ ...run, seconds: SECONDS })
  const after = look()
  // A profile is written when its process ends.
  await server.processes[0]?.stop()
  const files = readdirSync(join(folder, 'profiles')).map((file) => join(folder, 'profiles', file))
  const profiles = files.map((file) => JSON.parse(readFileSync(file, 'utf8')) as CpuProfile)
  return {
    measured,
    window: { from: before.at, to: after.at },
    profiles,
    cpuMicros: (after.cpu - before.cpu) / Math.max(1, measured.requests),
    others: (after.others - before.others) / (after.at - before.at) / availableParallelism(),
  }
}

/** Of the clock that the profiler reads too. */
const nowMicros = (): number => Number(process.hrtime.bigint() / 1000n)

function about({ measured, cpuMicros, others }: Recorded): string {
  const { date, commit, cpu, kernel, versions } = machine()
  const wrong = measured.errors > 0 ? `**Not valid: ${measured.errors} errors.** ` : ''
  return `${wrong}${date.slice(0, 10)}, commit ${commit}, Node ${versions['node']}, ${cpu}, Linux ${kernel}. A sample every ${INTERVAL_MICROS} µs for ${SECONDS} s,
after ${WARM_SECONDS} s to warm up, at ${Math.round(measured.requests / measured.seconds)} requests/s and ${cpuMicros.toFixed(1)} µs of processor time each, what the profiler takes included. Others
took ${Math.round(Math.max(0, others) * 100)} % of the machine. Shares are of the time that was not idle; microseconds are that share of the processor time.`
}

interface Taken {
  readonly total: number
  readonly cpuMicros: number
}

function table(what: string, rows: readonly [string, number][], { total, cpuMicros }: Taken): string {
  const lines = rows
    .filter(([, micros]) => micros / total >= LEAST_SHARE)
    .map(
      ([name, micros]) =>
        `| ${name} | ${((micros / total) * 100).toFixed(1)} % | ${((micros / total) * cpuMicros).toFixed(2)} |`,
    )
  return [`| ${what} | share | µs a request |`, '|---|---|---|', ...lines].join('\n')
}
