/** A scenario, measured: every side is started, then they take turns, so that whatever else the machine does strikes them alike. */
import { openHandshakes } from './measure/handshakes.ts'
import { openHerd } from './measure/herd.ts'
import { openLoad } from './measure/load.ts'
import { openMemory } from './measure/memory.ts'
import { openScan } from './measure/scan.ts'
import { openStartup } from './measure/startup.ts'
import { type Pace, paceOf } from './plan.ts'
import { stopAll } from './process.ts'
import { DISTURBED, FIGURES, nameOf, type Round, type Scenario, type Side } from './scenario.ts'
import { missing } from './servers.ts'
import type { Measurement, Opened, Subject, Terms } from './subject.ts'

export interface MeasuredSide {
  readonly name: string
  readonly rounds: readonly Round[]
  /** Why its numbers are no result. */
  readonly faults: readonly string[]
}

export interface Outcome {
  readonly sides: readonly MeasuredSide[]
  /** Sides that could not be measured, each with the reason. */
  readonly left: readonly string[]
  readonly rounds: number
  readonly seconds: number
}

interface Running {
  readonly name: string
  readonly subject: Subject
  readonly rounds: Round[]
  readonly faults: string[]
  /** How many more of its rounds may be measured again. */
  repeats: number
}

// Rounds of one side that are measured again when others were at work; so a run still ends in time.
const REPEATS = 2

export type Say = (line: string) => void

export async function measure(
  scenario: Scenario,
  { folder, pace }: { readonly folder: string; readonly pace: Pace },
  say: Say,
): Promise<Outcome> {
  const { rounds, seconds } = paceOf(scenario, pace)
  try {
    const terms = { folder, seconds, quick: pace.quick }
    // One scenario that cannot be set up does not end the others: each of its sides says why.
    const open = await opened(scenario, terms).catch(
      (error: Error): Opened =>
        () =>
          Promise.reject(error),
    )
    const left: string[] = []
    const running: Running[] = []
    for (const side of scenario.sides) {
      const started = await begin(side, open)
      if (typeof started === 'string') {
        left.push(started)
        say(`left out: ${started}`)
      } else running.push({ ...started, repeats: pace.quick ? 0 : REPEATS })
    }
    for (let round = 0; round < rounds; round++) {
      // There and back again: who comes later in a round is not always the same.
      const turns = running.filter(({ rounds }) => rounds.length === round)
      for (const one of round % 2 === 0 ? turns : turns.toReversed()) {
        await turn(one)
        say(`round ${round + 1}/${rounds}  ${progress(scenario, one)}`)
      }
    }
    return { sides: running, left, rounds, seconds }
  } finally {
    await stopAll()
  }
}

function opened(scenario: Scenario, terms: Terms): Promise<Opened> {
  const { measure } = scenario
  switch (measure.kind) {
    case 'load':
      return openLoad(scenario, measure, terms)
    case 'handshakes':
      return openHandshakes(scenario, measure, terms)
    case 'herd':
      return openHerd(measure, terms)
    case 'scan':
      return openScan(scenario, measure, terms)
    case 'startup':
      return openStartup(measure, terms)
    case 'memory':
      return openMemory(measure, terms)
  }
}

/** A side, started and warm; or the line that says why not. */
async function begin(side: Side, open: Opened): Promise<Omit<Running, 'repeats'> | string> {
  const name = nameOf(side)
  const packages = missing(side.server)
  if (packages.length > 0) return `${name}: needs Debian's ${packages.join(' and ')}`
  try {
    const subject = await open(side)
    await subject.warm()
    return { name, subject, rounds: [], faults: [] }
  } catch (error) {
    return `${name}: ${lineOf(error)}`
  }
}

/** One that fails is out of the further rounds, and what it did before is no result. */
async function turn(one: Running): Promise<void> {
  const { subject, rounds, faults } = one
  try {
    let best = await subject.round()
    while (othersOf(best) > DISTURBED && one.repeats > 0) {
      one.repeats--
      const again = await subject.round()
      if (othersOf(again) < othersOf(best)) best = again
    }
    const { round, fault } = best
    rounds.push(round)
    if (fault !== undefined) faults.push(`round ${rounds.length}: ${fault}`)
  } catch (error) {
    faults.push(`round ${rounds.length + 1}: ${lineOf(error)}`)
  }
}

const othersOf = ({ round }: Measurement): number => round.others ?? 0

const lineOf = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n').slice(0, 3).join(' · ').slice(0, 400)

function progress({ figure }: Scenario, { name, rounds, faults }: Running): string {
  const round = rounds.at(-1) ?? {}
  const shown = [figure, 'p99Ms', 'cpuMicros'] as const
  const words = [...new Set(shown)]
    .filter((each) => round[each] !== undefined)
    .map((each) => `${(round[each] ?? 0).toFixed(FIGURES[each].digits)} ${FIGURES[each].heading}`)
  const fault = faults.length > 0 ? `  INVALID: ${faults.at(-1)}` : ''
  const others = round.others ?? 0
  const disturbed = others > DISTURBED ? `  others took ${Math.round(others * 100)} % of the machine` : ''
  return `${name.padEnd(28)} ${words.join('  ')}${disturbed}${fault}`
}
