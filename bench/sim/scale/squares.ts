/**
 * Square waves of many periods: whoever forgets the high level in every low phase pays for it with every edge. Each wave is played with ours
 * and with the settings on the front of the others.
 */
import type { Pieces } from './pieces.ts'
import { play } from './play.ts'
import type { Plot } from './plot.ts'
import type { Load } from './pool.ts'
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

interface Shape {
  readonly periodS: number
  readonly duty: number
  readonly minutes: number
  readonly isLowFirst: boolean
}

export interface Wave extends Shape {
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
  readonly pieces: Pieces
}

const PERIODS_S = [20, 30, 60, 90, 120, 180, 240, 300, 400, 500, 600, 700, 900, 1200, 1800]
const UNEVEN = [0.2, 0.8].flatMap((duty) =>
  [60, 120, 300, 400, 600, 900].map((periodS) => ({ periodS, duty })),
)
const SHORT = { minutes: 40, isLowFirst: false }
/** Enough of each for the load to show what it does. */
const LONG = [
  ...[900, 1200, 1800, 3600].map((periodS) => ({ periodS, duty: 0.5, minutes: 160, isLowFirst: false })),
  ...[900, 1200, 1800].map((periodS) => ({ periodS, duty: 0.5, minutes: 160, isLowFirst: true })),
]

export function againstSquares(others: readonly MakeRule[], options: SquaresOptions): Wave[] {
  const { quick } = options
  const even = (quick ? [60, 300] : PERIODS_S).map((periodS) => ({ periodS, duty: 0.5 }))
  const short = [...even, ...(quick ? [] : UNEVEN)].map((shape) => ({ ...shape, ...SHORT }))
  return [...short, ...(quick ? [] : LONG)].map((shape) => {
    const score = scoring(shape, options)
    const mine = score(() => ours(OPTIONS))
    const kept = others
      .map(score)
      .filter(({ worstReversals }) => worstReversals <= 3)
      .sort((a, b) => a.violationSeconds - b.violationSeconds || a.replicaSeconds - b.replicaSeconds)
    const asCheap = kept.find(({ replicaSeconds }) => replicaSeconds <= mine.replicaSeconds * 1.05)
    return { ...shape, mine, asCheap, best: kept[0] }
  })
}

function scoring(shape: Shape, { seed, progress, pieces }: SquaresOptions): (make: MakeRule) => Scored {
  const { periodS, duty, minutes, isLowFirst } = shape
  const scenario = squareLoad(periodS * 1000, { duty, untilMs: minutes * 60_000, isLowFirst })
  let load: Load | undefined
  return (make) => {
    const { family, setting } = make()
    const rule = `${family} ${setting}`
    const wave = `wave of ${periodS} s, ${100 * duty} % high, ${isLowFirst ? 'low first, ' : ''}${minutes} min`
    return pieces[family === 'ours' ? 'ours' : 'others'](`${wave}: ${rule} ${seed}`, () => {
      progress(wave)
      load ??= scenario.load(seed)
      const score = play(load, settingsOf(scenario), make(), { untilMs: scenario.untilMs, seed })
      const { violationSeconds, replicaSeconds, worstReversals } = score
      return { rule, violationSeconds, replicaSeconds: Math.round(replicaSeconds), worstReversals }
    })
  }
}

export function squaresTable(waves: readonly Wave[], seed: number): string[] {
  const show = (it: Scored | undefined) =>
    it ? `${it.violationSeconds} (${it.replicaSeconds} replica-s, ${it.rule})` : 'none'
  const rows = (minutes: number) =>
    waves
      .filter((wave) => wave.minutes === minutes)
      .map(
        ({ periodS, duty, isLowFirst, mine, asCheap, best }) =>
          `| ${periodS} s${isLowFirst ? ', low first' : ''} | ${100 * duty} % | ${mine.violationSeconds} | ${mine.replicaSeconds} | ${mine.worstReversals} | ${show(asCheap)} | ${show(best)} |`,
      )
  const head = [
    '| period | high | ours: violation-s | replica-s | most reversals in 10 min | best of the others as cheap | best of the others at any cost |',
    '|---|---|---|---|---|---|---|',
  ]
  return [
    `## Square waves 50 ↔ 400 calls/s (seed ${seed})`,
    '',
    '"Others" are the settings of the front above that keep to three reversals in ten minutes here too; "as cheap" are those with at most 5 % more replica-seconds than ours. Forty minutes:',
    '',
    ...head,
    ...rows(SHORT.minutes),
    '',
    ...(rows(160).length > 0 ? ['Long ones, 160 minutes:', '', ...head, ...rows(160), ''] : []),
  ]
}

export function squaresPlot(waves: readonly Wave[]): Plot {
  const even = waves.filter(({ duty, minutes }) => duty === 0.5 && minutes === SHORT.minutes)
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
