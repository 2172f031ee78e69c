/** What a run will do and how long it takes, told before it begins. */
import { warmSeconds } from './measure/load.ts'
import { FIGURES, type Goal, nameOf, type Scenario } from './scenario.ts'

/** Of a quick run: only the sides that claims are about, or the first two where there is no claim. */
export function forQuick(scenario: Scenario): Scenario {
  const named = new Set(scenario.goals.flatMap(({ side, against }) => [side, against]))
  const sides = scenario.sides.filter((side, i) => (named.size > 0 ? named.has(nameOf(side)) : i < 2))
  return { ...scenario, sides }
}

/** What the command line asks for. */
export interface Pace {
  readonly quick: boolean
  readonly rounds: number
  /** A round; undefined: as the scenario has it. */
  readonly seconds: number | undefined
}

const ROUND_SECONDS = 3

/** Rounds and seconds that a scenario gets. */
export function paceOf(scenario: Scenario, pace: Pace): { rounds: number; seconds: number } {
  return {
    rounds: Math.min(pace.rounds, scenario.rounds ?? pace.rounds),
    seconds: pace.seconds ?? scenario.seconds ?? ROUND_SECONDS,
  }
}

const START_SECONDS = 1.3
// Until wrk is up and gone, and the counters are read.
const TURN_SECONDS = 0.2

/** About how long it takes, in seconds. */
export function estimate(scenario: Scenario, pace: Pace): number {
  const { measure, sides } = scenario
  const { rounds, seconds } = paceOf(scenario, pace)
  switch (measure.kind) {
    case 'load':
      return sides.reduce(
        (sum, side) =>
          sum + START_SECONDS + warmSeconds(side, pace.quick) + rounds * (seconds + TURN_SECONDS),
        0,
      )
    case 'handshakes':
      return sides.length * (START_SECONDS + (rounds + 1) * (seconds + TURN_SECONDS))
    case 'herd':
      return sides.length * (START_SECONDS + rounds * 2)
    case 'scan':
      return sides.length * (START_SECONDS + rounds * 3)
    case 'memory':
      return sides.length * (pace.quick ? 3 : 12)
    case 'startup':
      return (rounds + 1) * START_SECONDS
  }
}

/** "8 minutes", "40 seconds". */
export function spoken(seconds: number): string {
  return seconds < 90 ? `${Math.round(seconds)} seconds` : `${Math.ceil(seconds / 60)} minutes`
}

export function listing(scenarios: readonly Scenario[], pace: Pace): string {
  const lines = scenarios.map((one) =>
    [
      `${one.name.padEnd(14)}${one.title} (${spoken(estimate(one, pace))})`,
      `${' '.repeat(14)}${one.sides.map((side) => nameOf(side)).join(' · ')}`,
      ...one.goals.map((goal) => `${' '.repeat(14)}${wanted(goal)}`),
    ].join('\n'),
  )
  const total = scenarios.reduce((sum, one) => sum + estimate(one, pace), 0)
  return `${lines.join('\n')}\n\nall of these: ${spoken(total)}`
}

function wanted({ side, figure, how, against, demanded, aimed }: Goal): string {
  const sign = FIGURES[figure].better === 'more' ? 'at least' : 'at most'
  const compared = { times: ` times ${against}`, more: ` more than ${against}`, is: '' }
  return `${FIGURES[figure].heading} of ${side}: ${sign} ${demanded}${compared[how]}, aim ${aimed}`
}
