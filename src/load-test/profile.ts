/** What a load looks like over time: stages whose rate is constant or changes evenly, or a log that is asked again. */
import { durationMs, positive } from './units.ts'

/** From the one rate to the other within that time, calls a second. */
export interface Stage {
  readonly ms: number
  readonly from: number
  readonly to: number
}

export type Profile =
  | { readonly kind: 'stages'; readonly stages: readonly Stage[] }
  | { readonly kind: 'replay'; readonly path: string }

/** The text of a profile is wrong; the message says what to write. */
export class ProfileError extends Error {}

const MAX_RATE = 10_000_000
const MAX_STAGES = 10_000

export const PROFILE_FORMS = `Write one or more of these, separated by commas:
  constant:RATE@TIME           constant:200@30s
  step:RATE>RATE[>...]@TIME    step:20>200@30s         each rate for 30 s
  ramp:RATE>RATE[>...]@TIME    ramp:0>500>0@1m         evenly from rate to rate, 1 min each way
  burst:BASE>PEAK@TIME/TIME[xN]  burst:50>500@8s/2sx5  8 s at 50 and 2 s at 500, five times
or alone
  replay:PATH                  the predictions of a log (jsonl), a file or a folder of files`

/** Throws ProfileError. */
export function parseProfile(text: string): Profile {
  if (text.startsWith('replay:')) {
    const path = text.slice('replay:'.length)
    if (path === '') throw new ProfileError(`"${text}" names no file. ${PROFILE_FORMS}`)
    return { kind: 'replay', path }
  }
  const stages = text.split(',').flatMap((part) => {
    const parsed = parseStages(part.trim())
    if (parsed === undefined) throw new ProfileError(`"${part}" is no profile. ${PROFILE_FORMS}`)
    return parsed
  })
  if (stages.length > MAX_STAGES) throw new ProfileError(`a profile has at most ${MAX_STAGES} stages`)
  if (stages.every(({ from, to }) => from + to === 0))
    throw new ProfileError(`"${text}" makes no call: all its rates are 0`)
  return { kind: 'stages', stages }
}

function parseStages(text: string): Stage[] | undefined {
  const [, kind, rateText = '', timeText = ''] = /^([a-z]+):([\d.>]+)@(\S+)$/.exec(text) ?? []
  const rates = rateText.split('>').map(positive)
  if (!rates.every((rate) => rate !== undefined && rate <= MAX_RATE)) return undefined
  const known = rates as number[]
  if (kind === 'burst') return bursts(known, timeText)
  const ms = durationMs(timeText)
  if (!ms) return undefined
  if (kind === 'constant' && known.length === 1) return known.map((rate) => flat(rate, ms))
  if (kind === 'step' && known.length > 1) return known.map((rate) => flat(rate, ms))
  if (kind === 'ramp' && known.length > 1)
    return known.slice(1).map((to, i) => ({ ms, from: known[i] as number, to }))
  return undefined
}

const BURSTS = 5

function bursts([base, peak, ...more]: readonly number[], timeText: string): Stage[] | undefined {
  const [, long = '', short = '', count] = /^([^/x]+)\/([^/x]+?)(?:x(\d+))?$/.exec(timeText) ?? []
  const [longMs, shortMs, times] = [durationMs(long), durationMs(short), Number(count ?? BURSTS)]
  if (base === undefined || peak === undefined || more.length > 0 || !longMs || !shortMs) return undefined
  if (times < 1 || times > MAX_STAGES) return undefined
  return Array.from({ length: times }, () => [flat(base, longMs), flat(peak, shortMs)]).flat()
}

export const flat = (rate: number, ms: number): Stage => ({ ms, from: rate, to: rate })

export const lengthOf = (stages: readonly Stage[]): number => stages.reduce((sum, { ms }) => sum + ms, 0)

/** How many calls fall due in the stages. */
export function callsIn(stages: readonly Stage[]): number {
  return stages.reduce((sum, stage) => sum + callsOf(stage), 0)
}

export const callsOf = ({ ms, from, to }: Stage): number => ((from + to) / 2) * (ms / 1000)
