/** What a move did, in numbers. */
import { hitPercent } from './plots.ts'
import type { Second, Setting, Told } from './world.ts'

export interface Moved {
  /** Misses in the worst minute, from the first moved call on. */
  readonly worstMisses: number
  /** Hits in the worst ten seconds, as a part of those before. */
  readonly lowestHits: number
  /** The callers' p99 in the worst minute (the mean of its seconds), as a multiple of that before. */
  readonly p99: number
  readonly replicas: number
  readonly foreseen: number
  /** From the beginning to the end, minutes; undefined: it has not come to an end. */
  readonly minutes: number | undefined
}

export function moved(told: Told, { startMs }: Pick<Setting, 'startMs'>): Moved {
  const { seconds, switchedAt, endedAt, foreseen } = told
  const before = seconds.slice(Math.max(1, startMs / 1000 - 60), startMs / 1000)
  const from = Math.max(1, Math.floor(Math.min(switchedAt, (seconds.length - 61) * 1000) / 1000))
  const after = (width: number) =>
    Array.from({ length: Math.max(0, seconds.length - 1 - from - width) }, (_, i) =>
      seconds.slice(from + i, from + i + width),
    )
  const mean = (of: readonly Second[]) => of.reduce((sum, { p99Ms }) => sum + p99Ms, 0) / of.length
  const misses = (of: readonly Second[]) => of.reduce((sum, second) => sum + second.misses, 0)
  return {
    worstMisses: Math.max(...after(60).map(misses)),
    lowestHits: Math.min(...after(10).map(hitPercent)) / hitPercent(before),
    p99: Math.max(...after(60).map(mean)) / mean(before),
    replicas: Math.max(...seconds.map(({ newReplicas }) => newReplicas)),
    foreseen,
    minutes: endedAt < Infinity ? (endedAt - startMs) / 60_000 : undefined,
  }
}

export function describeSetting(setting: Setting): string {
  const { keys, rows, perSecond, kept, warmPerSecond, service, replica, failing } = setting
  return [
    `Callers ask ${perSecond} times a second for one of ${keys} keys by Zipf's law (exponent 1); the old pool's cache has ${rows} of them at the beginning.`,
    `A miss takes ${service.meanMs} ms (lognormal, SCV ${service.scv}) on a replica with ${replica.slots} places that takes ${replica.startMs / 1000} s to start; ${100 * failing} % of the calls fail in either pool; the promise is a p95 of ${replica.sloMs} ms.`,
    `Warming asks for the ${kept} most frequent keys of a sample at ${warmPerSecond} a second, which takes ${Math.round(kept / warmPerSecond / 60)} minutes.`,
    'The judge, the rules of the rollout, the scaler and its meter are the production code.',
  ].join(' ')
}

export function movedTable(all: Readonly<Record<string, Told>>, setting: Setting): string[] {
  const rows = Object.entries(all).map(([name, told]) => {
    const { worstMisses, lowestHits, p99, replicas, foreseen, minutes } = moved(told, setting)
    const forecast = told.rollout.phase === 'measuring' ? '-' : String(foreseen)
    const took = minutes === undefined ? '-' : `${Math.round(minutes)} min`
    return `| ${name} | ${worstMisses} | ${lowestHits.toFixed(3)} | ${p99.toFixed(2)} | ${replicas} | ${forecast} | ${took} |`
  })
  return [
    '## Moving all calls',
    '',
    '| how | misses in the worst minute | lowest hits (10 s), of before | p99 of the worst minute, of before | most replicas of the new pool | as foreseen | took |',
    '|---|---|---|---|---|---|---|',
    ...rows,
    '',
    '![hits](rollout-hits.svg)',
    '![p99](rollout-p99.svg)',
    '![replicas](rollout-replicas.svg)',
  ]
}

/** What the rollout said. */
export function stories({ rollout }: Told): string[] {
  const lines = rollout.history.map(
    ({ at, sentence }) => `${new Date(at).toISOString().slice(11, 19)} ${sentence}.`,
  )
  return ['What the warmed rollout says:', '', '```', ...lines, '```']
}

/** Each first with the comparison, then without. */
export function badTable(all: Readonly<Record<string, readonly Told[]>>): string[] {
  const rows = Object.entries(all).flatMap(([name, tolds]) =>
    tolds.map(({ rollout, seconds, switchedAt, endedAt }, i) => {
      const most = Math.max(...seconds.map(({ share }) => share))
      const first = i === 0 ? rollout.startedAt : switchedAt + rollout.startedAt - 120_000
      const took = Math.round((endedAt + rollout.startedAt - 120_000 - first) / 1000)
      return `| ${name} | ${i === 0 ? 'yes' : 'no'} | ${rollout.reason ?? 'not stopped'} | ${most} % | ${took} s |`
    }),
  )
  return [
    '## Bad versions',
    '',
    '| the new version | compared first | stopped for | at most of the calls | found after |',
    '|---|---|---|---|---|',
    ...rows,
  ]
}
