/**
 * Square waves of many periods: whoever forgets the high level in every low phase pays for it with every edge. Each wave is played with ours
 * and with the settings on the front of the others.
 */
import { play } from './play.ts'
import type { Plot } from './plot.ts'
import { type MakeRule, ours } from './rules.ts'
import { settingsOf, squareLoad } from './scenarios.ts'
import { OPTIONS } from './sweep.ts'

/** What a rule's setting came to on one wave. */
interface Scored {
  readonly rule: string
  readonly violationSeconds: number
  readonly replicaSeconds: number
  /** The most in any ten minutes. */
  readonly worstReversals: number
}

export interface Wave {
  readonly periodS: number
  readonly duty: number
  readonly mine: Scored
  /** The fewest violation-seconds among the settings that keep the reversal limit and cost at most 5 % more than ours. */
  readonly asCheap: Scored | undefined
  /** The same at any cost. */
  readonly best: Scored | undefined
}

export interface SquaresOptions {
  readonly seed: number
  readonly quick: boolean
  readonly progress: (text: string) => void
}

const PERIODS_S = [20, 30, 60, 90, 120, 180, 240, 300, 400, 500, 600, 700, 900, 1200, 1800]
const UNEVEN = [0.2, 0.8].flatMap((duty) =>
  [60, 120, 300, 400, 600, 900].map((periodS) => ({ periodS, duty })),
)

export function againstSquares(others: readonly MakeRule[], options: SquaresOptions): Wave[] {
  const periods = options.quick ? [60, 300] : PERIODS_S
  const waves = periods.map((periodS) => ({ periodS, duty: 0.5 }))
  return [...waves, ...(options.quick ? [] : UNEVEN)].map(({ periodS, duty }) => {
    options.progress(`square waves: ${periodS} s, ${100 * duty} % high`)
    const score = scoring(periodS, duty, options.seed)
    const mine = score(() => ours(OPTIONS))
    const kept = others
      .map(score)
      .filter(({ worstReversals }) => worstReversals <= 3)
      .sort((a, b) => a.violationSeconds - b.violationSeconds || a.replicaSeconds - b.replicaSeconds)
    const asCheap = kept.find(({ replicaSeconds }) => replicaSeconds <= mine.replicaSeconds * 1.05)
    return { periodS, duty, mine, asCheap, best: kept[0] }
  })
}

function scoring(periodS: number, duty: number, seed: number): (make: MakeRule) => Scored {
  const scenario = squareLoad(periodS * 1000, { duty })
  const load = scenario.load(seed)
  return (make) => {
    const { family, setting } = make()
    const score = play(load, settingsOf(scenario), make(), { untilMs: scenario.untilMs, seed })
    const { violationSeconds, replicaSeconds, worstReversals } = score
    return {
      rule: `${family} ${setting}`,
      violationSeconds,
      replicaSeconds: Math.round(replicaSeconds),
      worstReversals,
    }
  }
}

export function squaresTable(waves: readonly Wave[], seed: number): string[] {
  const show = (it: Scored | undefined) =>
    it ? `${it.violationSeconds} (${it.replicaSeconds} replica-s, ${it.rule})` : 'none'
  return [
    `## Square waves 50 ↔ 400 calls/s, forty minutes (seed ${seed})`,
    '',
    '"Others" are the settings of the front above that keep to three reversals in ten minutes here too; "as cheap" are those with at most 5 % more replica-seconds than ours.',
    '',
    '| period | high | ours: violation-s | replica-s | most reversals in 10 min | best of the others as cheap | best of the others at any cost |',
    '|---|---|---|---|---|---|---|',
    ...waves.map(
      ({ periodS, duty, mine, asCheap, best }) =>
        `| ${periodS} s | ${100 * duty} % | ${mine.violationSeconds} | ${mine.replicaSeconds} | ${mine.worstReversals} | ${show(asCheap)} | ${show(best)} |`,
    ),
    '',
  ]
}

export function squaresPlot(waves: readonly Wave[]): Plot {
  const even = waves.filter(({ duty }) => duty === 0.5)
  const line = (of: (wave: Wave) => Scored | undefined) =>
    even.flatMap((wave) => {
      const scored = of(wave)
      return scored ? [[wave.periodS, scored.violationSeconds] as const] : []
    })
  return {
    title: 'Square waves, half of the time high: violation-seconds by period',
    x: 'period, seconds',
    y: 'SLO violation-seconds',
    series: [
      { name: 'ours', colour: '#d62728', points: line(({ mine }) => mine), as: 'front' },
      { name: 'best as cheap', colour: '#1f77b4', points: line(({ asCheap }) => asCheap), as: 'front' },
      { name: 'best at any cost', colour: '#777', points: line(({ best }) => best), as: 'front' },
    ],
  }
}
