/** Hits, p99 and replicas over time, of one move made in several ways. */
import { type Plot, svg } from '../scale/plot.ts'
import type { Second, Setting, Told } from './world.ts'

const COLOURS = ['#c0392b', '#e08e0b', '#7d5ba6', '#1f7a4d']
/** Seconds that one point of a plot stands for. */
const POINT = 10

type Moved = Readonly<Record<string, Told>>

export function plots(moved: Moved, { untilMs, startMs }: Setting): [name: string, text: string][] {
  const xMax = untilMs / 60_000
  const over = (title: string, y: string, of: (seconds: readonly Second[]) => number): Plot => ({
    title: `${title}; it begins at ${startMs / 60_000} min`,
    x: 'minutes',
    y,
    xMax,
    series: Object.entries(moved).map(([name, { seconds }], i) => ({
      name,
      colour: COLOURS[i] ?? '#222',
      as: 'steps',
      points: pointsOf(seconds, of).filter(([x]) => x <= xMax),
    })),
  })
  const most = (of: (second: Second) => number) => (seconds: readonly Second[]) =>
    Math.max(...seconds.map(of))
  return [
    ['hits', svg({ ...over('Hits of all calls', '%', hitPercent), yMax: 100 })],
    [
      'p99',
      svg({
        ...over(
          'The callers’ p99, cut off at 60 ms',
          'ms',
          most(({ p99Ms }) => p99Ms),
        ),
        yMax: 60,
      }),
    ],
    [
      'replicas',
      svg(
        over(
          'Replicas of both pools',
          'replicas',
          most((second) => second.oldReplicas + second.newReplicas),
        ),
      ),
    ],
  ]
}

export function hitPercent(seconds: readonly Second[]): number {
  const sum = (of: (second: Second) => number) => seconds.reduce((total, second) => total + of(second), 0)
  const calls = sum((second) => second.calls)
  return calls === 0 ? 100 : 100 * (1 - sum(({ misses }) => misses) / calls)
}

function pointsOf(
  seconds: readonly Second[],
  of: (seconds: readonly Second[]) => number,
): [number, number][] {
  const points: [number, number][] = []
  for (let at = POINT; at + POINT <= seconds.length; at += POINT)
    points.push([at / 60, of(seconds.slice(at, at + POINT))])
  return points
}
