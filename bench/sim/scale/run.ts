/**
 * `node bench/sim/scale/run.ts [--quick] [--seed N] [--seconds N]`: the scaler against the known rules and against an oracle. Writes a
 * table, the raw numbers and plots to `bench/results/`. The whole takes half an hour, `--quick` some seconds and writes nothing. With
 * `--seconds` it stops after about that time and keeps what is done: the same command goes on there, and writes when all is done.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { parseArgs } from 'node:util'
import { allUnsaid, compare as compareUnsaid, type Played } from './learning.ts'
import { type Oracle, oracle } from './oracle.ts'
import { OutOfTime, Pieces } from './pieces.ts'
import { play, type Score } from './play.ts'
import { type Plot, type Series, svg } from './plot.ts'
import { type MakeRule, ours } from './rules.ts'
import { MIXED, POOL, poissonLoad, type Scenario, settingsOf } from './scenarios.ts'
import * as special from './special.ts'
import { againstSquares, squaresPlot, squaresTable, type Wave } from './squares.ts'
import { competitors, front, OPTIONS, oursOverRisk, type Point, total } from './sweep.ts'

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    seconds: { type: 'string', default: 'Infinity' },
  },
})
const seed = Number(values.seed)
if (!Number.isInteger(seed)) {
  process.stderr.write(`--seed takes a whole number, got "${values.seed}"\n`)
  process.exit(1)
}
const seconds = Number(values.seconds)
if (!(seconds > 0)) {
  process.stderr.write(`--seconds takes a number above 0, got "${values.seconds}"\n`)
  process.exit(1)
}
const pieces = new Pieces(seconds)
const quick = values.quick
const seeds = quick ? [seed] : [seed, seed + 1, seed + 2]
const lines: string[] = []
const print = (line = '') => {
  lines.push(line)
  process.stdout.write(`${line}\n`)
}
const progress = (text: string) => {
  if (process.stderr.isTTY) process.stderr.write(`\r${text.padEnd(60)}`)
}

interface AgainstOracle {
  readonly scenario: string
  readonly seed: number
  readonly score: Score
  readonly bound: Oracle
}

function playOurs(scenario: Scenario, at: number): { load: ReturnType<Scenario['load']>; score: Score } {
  const load = scenario.load(at)
  return {
    load,
    score: play(load, settingsOf(scenario), ours(OPTIONS), { untilMs: scenario.untilMs, seed: at }),
  }
}

function againstOracle(scenario: Scenario, at: number): AgainstOracle {
  progress(`oracle: ${scenario.name}, seed ${at}`)
  const { load, score } = playOurs(scenario, at)
  const { slots, startMs, sloMs, max } = POOL
  const solve = oracle(load, { slots, startMs, sloMs, max, untilMs: scenario.untilMs, maxReversals: 3 })
  return { scenario: scenario.name, seed: at, score, bound: solve(score.violationSeconds) }
}

function oracleTable(): AgainstOracle[] {
  print('## Against an oracle that knows every call')
  print()
  print(
    'Replica-seconds of ours over a lower bound for the oracle with the same violation-seconds, start time and reversal limit.',
  )
  print()
  print(
    '| load | seed | violation-s | replica-s | reversals, most in 10 min | oracle replica-s, at least | ratio |',
  )
  print('|---|---|---|---|---|---|---|')
  const rows = [poissonLoad, ...MIXED].flatMap((scenario) =>
    seeds.map((at) => pieces.ours(`oracle ${scenario.name} ${at}`, () => againstOracle(scenario, at))),
  )
  for (const { scenario, seed: at, score, bound } of rows) {
    const ratio = (score.replicaSeconds / bound.atLeast).toFixed(3)
    print(
      `| ${scenario} | ${at} | ${score.violationSeconds} | ${whole(score.replicaSeconds)} | ${score.worstReversals} | ${whole(bound.atLeast)} | ${ratio} |`,
    )
  }
  print()
  return rows
}

function compare(): { own: Point[]; others: Point[] } {
  let runs: { scenario: Scenario; load: ReturnType<Scenario['load']>; seed: number }[] | undefined
  const play = (makes: readonly MakeRule[], name: 'ours' | 'others') =>
    makes.map((make, i) => {
      const { family, setting } = make()
      return pieces[name](`mixed ${family} ${setting} ${seed}`, () => {
        progress(`${name}: ${i + 1} of ${makes.length}`)
        runs ??= MIXED.map((scenario) => ({ scenario, load: scenario.load(seed), seed }))
        return total(make, runs)
      })
    })
  const own = play(oursOverRisk(quick), 'ours')
  const others = play(competitors(quick), 'others')
  const kept = others.filter(({ worstReversals }) => worstReversals <= 3)
  print(`## Against the known rules, summed over ${MIXED.map(({ name }) => name).join(', ')} (seed ${seed})`)
  print()
  print(
    `${others.length} settings tried, ${kept.length} of them keep to three reversals in ten minutes. Their front, and ours:`,
  )
  print()
  print('| rule | setting | violation-s | replica-s | most reversals in 10 min |')
  print('|---|---|---|---|---|')
  for (const point of [...own, ...front(kept)]) print(rowOf(point))
  print()
  const mine = own.find(({ setting }) => setting === 'default')
  if (mine) judge(mine, kept)
  return { own, others }
}

function judge(mine: Point, kept: readonly Point[]): void {
  const better = kept.filter(
    (point) => point.violationSeconds <= mine.violationSeconds && point.replicaSeconds <= mine.replicaSeconds,
  )
  const equal = kept
    .filter((point) => point.violationSeconds <= mine.violationSeconds)
    .sort((a, b) => a.replicaSeconds - b.replicaSeconds)[0]
  print(`Settings at least as good as ours on both counts: ${better.length}.`)
  if (equal) {
    const share = (100 * (1 - mine.replicaSeconds / equal.replicaSeconds)).toFixed(1)
    print(
      `The cheapest with no more violation-seconds is ${equal.family} ${equal.setting} ` +
        `(${equal.violationSeconds} and ${whole(equal.replicaSeconds)}); ours uses ${share} % fewer replica-seconds.`,
    )
  }
  print()
}

function situations(): void {
  print(`## Situations (seed ${seed})`)
  print()
  print('| situation | violation-s | replica-s | most replicas | what it says at the end |')
  print('|---|---|---|---|---|')
  const show = (name: string, situation: () => special.Outcome) => {
    const outcome = pieces.ours(`situation ${name} ${seed}`, () => shortened(situation()))
    const most = Math.max(2, ...outcome.changes.map(({ desired }) => desired))
    print(
      `| ${name} | ${outcome.violationSeconds} | ${whole(outcome.replicaSeconds)} | ${most} | ${outcome.decisions.at(-1)?.sentence ?? ''} |`,
    )
  }
  show('ten times the calls, all of them hits', () => special.allHits(seed))
  show('cache lost, not told', () => special.cacheLost(seed, false))
  show('cache lost, told', () => special.cacheLost(seed, true))
  show('cache lost, told, whole reserve', () => special.cacheLost(seed, true, 1))
  show('deployment empties the cache, not told', () => special.rollout(seed, undefined))
  show('deployment empties the cache, told as it happens', () => special.rollout(seed, 0))
  show('deployment empties the cache, told 10 s before', () => special.rollout(seed, 10_000))
  show('200 ms promised, 300 ms of service', () => special.infeasible(seed))
  show('a bottleneck behind all replicas', () => special.bottleneck(seed))
  show('small bursts (knative/serving#15000)', () => special.smallBursts(seed))
  show('replicas that declare no concurrency', () => special.undeclared(seed))
  show('replicas five times slower for 30 s', () => special.slowStarters(seed))
  print()
}

/** Replicas that do not say how many calls they bear, beside the same with a scaler that is told, and those that say it. */
function unsaid(): void {
  print(`## Replicas that declare nothing (seed ${seed})`)
  print()
  print(
    'Declared: the gateway sends no more than the places, and the rest waits there. Told: it sends 64, and the scaler knows the places. Learnt: nobody knows. Five minutes to learn, then five that count for the mean.',
  )
  print()
  print(
    '| places | service | beyond them | load | most replicas: declared, told, learnt | mean | violation-s | places at the end |',
  )
  print('|---|---|---|---|---|---|---|---|')
  const all = allUnsaid().filter(
    ({ places, shape }) => !quick || (places < 32 && (shape === 'step' || shape === 'ramp')),
  )
  for (const it of all) {
    const { places, service, crowding, shape } = it
    const row = pieces.ours(`unsaid ${places} ${service} ${crowding} ${shape} ${seed}`, () => {
      progress(`${places} places, ${service}, ${crowding}, ${shape}`)
      const compared = inOrder(compareUnsaid(it, seed))
      const of = (show: (it: Played) => string | number) => compared.map(show).join(', ')
      const found = compared.at(-1)?.last?.signals.slotsPerReplica ?? 0
      return `${of(({ most }) => most)} | ${of(({ mean }) => mean.toFixed(2))} | ${of(({ violationSeconds }) => violationSeconds)} | ${found}`
    })
    print(`| ${places} | ${service} | ${crowding} | ${shape} | ${row} |`)
  }
  print()
}

const inOrder = ({ declared, told, learnt }: ReturnType<typeof compareUnsaid>) => [declared, told, learnt]

/** Of the decisions, the last is all that is shown. */
function shortened(outcome: special.Outcome): special.Outcome {
  return { ...outcome, decisions: outcome.decisions.slice(-1) }
}

const COLOURS: Record<string, string> = {
  ours: '#d62728',
  kpa: '#1f77b4',
  hpa: '#2ca02c',
  'hpa-p95': '#9467bd',
  utilisation: '#8c6d31',
}

function frontPlot(own: readonly Point[], others: readonly Point[]): Plot {
  const kept = others.filter(({ worstReversals }) => worstReversals <= 3)
  const at = (points: readonly Point[]) => points.map((p) => [p.replicaSeconds, p.violationSeconds] as const)
  const series: Series[] = []
  for (const family of ['kpa', 'hpa', 'hpa-p95', 'utilisation'] as const) {
    const colour = COLOURS[family] ?? '#000'
    const members = kept.filter((point) => point.family === family)
    series.push({ name: family, colour, points: at(front(members)), as: 'front' })
    series.push({ name: `${family}, all settings`, colour, points: at(members), as: 'dots' })
  }
  series.push({
    name: 'ours, by risk',
    colour: COLOURS['ours'] ?? '#000',
    points: at(front(own)),
    as: 'front',
  })
  return {
    title: 'Steps, bursts, diurnal load and a flash crowd: what lateness costs',
    x: 'replica-seconds',
    y: 'SLO violation-seconds',
    series,
    xMax: 150_000,
    yMax: 600,
  }
}

function timePlot({ scenario, score, bound }: AgainstOracle, initial: number): Plot {
  const own = [
    [0, initial] as const,
    ...score.changes.map(({ at, desired }) => [at / 1000, desired] as const),
  ]
  const { replicas, intervalMs } = bound.best
  const best = replicas.map((count, i) => [(i * intervalMs) / 1000, count] as const)
  return {
    title: `Replicas over time: ${scenario}`,
    x: 'seconds',
    y: 'replicas',
    series: [
      { name: 'ours', colour: '#d62728', points: own, as: 'steps' },
      { name: 'oracle', colour: '#777', points: best, as: 'steps' },
    ],
  }
}

const whole = (value: number) => String(Math.round(value))
const rowOf = (p: Point) =>
  `| ${p.family} | ${p.setting} | ${p.violationSeconds} | ${whole(p.replicaSeconds)} | ${p.worstReversals} |`

function main(): void {
  print('# The scaler in the simulator')
  print()
  print(
    `Seeds ${seeds.join(', ')}. A pool of ${POOL.min} to ${POOL.max} replicas, ${POOL.slots} slots each, ${POOL.meanMs} ms a call (lognormal, SCV ${POOL.scv}), ${POOL.startMs / 1000} s to start, p95 within ${POOL.sloMs} ms. Arrivals are Poisson at the rates of bench/sim/scale/scenarios.ts. A violation-second is a second of whose calls, by arrival, more than 5 % were later than the SLO; replica-seconds count starting replicas.`,
  )
  print()
  const rows = oracleTable()
  const { own, others } = compare()
  const makes = competitors(quick).filter((make) => {
    const { family, setting } = make()
    return front(others.filter(({ worstReversals }) => worstReversals <= 3)).some(
      (point) => point.family === family && point.setting === setting,
    )
  })
  const waves = againstSquares(makes, { seed, quick, progress, pieces })
  for (const line of squaresTable(waves, seed)) print(line)
  situations()
  unsaid()
  print(
    `node bench/sim/scale/run.ts${quick ? ' --quick' : ''} --seed ${seed} on ${cpus()[0]?.model ?? 'an unknown processor'}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}.`,
  )
  progress('')
  if (!quick) save(rows, { own, others, waves })
}

interface Compared {
  readonly own: readonly Point[]
  readonly others: readonly Point[]
  readonly waves: readonly Wave[]
}

function save(rows: readonly AgainstOracle[], { own, others, waves }: Compared): void {
  const folder = new URL('../../results/', import.meta.url)
  mkdirSync(folder, { recursive: true })
  const write = (name: string, text: string) => writeFileSync(new URL(name, folder), text)
  write('scale.md', `${lines.join('\n')}\n`)
  const bare = rows.map(({ scenario, seed: at, score, bound }) => ({
    scenario,
    seed: at,
    violationSeconds: score.violationSeconds,
    replicaSeconds: score.replicaSeconds,
    worstReversals: score.worstReversals,
    oracleAtLeast: bound.atLeast,
  }))
  write('scale.json', `${JSON.stringify({ oracle: bare, own, others, waves }, undefined, 1)}\n`)
  write('scale-front.svg', svg(frontPlot(own, others)))
  write('scale-squares.svg', svg(squaresPlot(waves)))
  for (const row of rows.filter(({ seed: at }) => at === seed)) {
    const initial = [poissonLoad, ...MIXED].find(({ name }) => name === row.scenario)?.initial ?? 0
    write(`scale-${row.scenario.replaceAll(' ', '-')}.svg`, svg(timePlot(row, initial)))
  }
}

try {
  main()
} catch (error) {
  if (!(error instanceof OutOfTime)) throw error
  process.stdout.write('\nThe time is up; the same command goes on from here.\n')
  process.exitCode = 3
} finally {
  pieces.save()
}
