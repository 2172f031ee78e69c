/** From the options of `infergate bench` to a load test: reads files, asks the server what the model takes, and refuses what does not go together. */
import { isIPv4, isIPv6 } from 'node:net'
import { requirePackages } from '../../lib/optional-packages.ts'
import type { ClientTls } from '../../lib/tls/material.ts'
import { describeInputs, firstModel, UnreachableError } from '../../load-test/describe.ts'
import {
  type DialectOptions,
  isGrpcProtocol,
  type LoadProtocol,
  type OpenAiEndpoint,
} from '../../load-test/dialects/dialect.ts'
import { elementsOfRow, type RowInput } from '../../load-test/dialects/input.ts'
import { inputsOf } from '../../load-test/dialects/metadata.ts'
import { type LoadTestOptions, plannedMs } from '../../load-test/load-test.ts'
import type { PhasePlan } from '../../load-test/messages.ts'
import { flat, type Profile } from '../../load-test/profile.ts'
import { spanOf } from '../../load-test/replay.ts'
import type { Spacing } from '../../load-test/schedule.ts'
import { logFiles } from '../log-files.ts'
import { UserError } from '../user-error.ts'
import { headersFrom, textOf } from './headers.ts'

/** As commander has them. Durations in milliseconds. */
export interface BenchFlags {
  readonly protocol: LoadProtocol
  readonly model?: string
  readonly endpoint: OpenAiEndpoint
  readonly rows: number
  readonly overlap: number
  readonly input?: readonly RowInput[]
  readonly features: number
  readonly keys: number
  readonly zipf: number
  readonly seed: number
  readonly words: number
  readonly maxTokens: number
  readonly temperature: number
  readonly path?: string
  readonly body?: string
  readonly http2?: boolean
  readonly header?: readonly string[]
  readonly headersFile?: string
  readonly bearerFile?: string
  readonly connections?: number
  readonly streams: number
  readonly duration?: number
  readonly rate?: number
  readonly spacing: Spacing
  readonly profile?: Profile
  readonly speed: number
  readonly warmUp: number
  readonly timeout: number
  readonly threads?: number
  readonly driver: 'own' | 'autocannon'
  readonly compare?: string
  readonly rounds: number
  readonly ca?: string
  readonly clientCert?: string
  readonly clientKey?: string
}

const DURATION_MS = 10_000
/** Calls at a time of a closed loop, and the most of an open one. */
const CALLERS = 16
const MOST_AT_A_TIME = 256
/** A client opens so many connections at once. */
const MOST_PER_THREAD = 1000
/** Some 30 MB of JSON. */
const MAX_NUMBERS = 10_000_000

export interface BenchPlan {
  readonly test: LoadTestOptions
  /** What a person should know of what was chosen. */
  readonly notes: readonly string[]
}

/** Throws UserError. */
export async function planBench(url: string, flags: BenchFlags, processors: number): Promise<BenchPlan> {
  refuseContradictions(url, flags)
  if (flags.driver === 'autocannon') requirePackages('autocannon')
  const urls = [url, ...(flags.compare === undefined ? [] : [flags.compare])].map(httpUrlOf)
  const tls = tlsFrom(flags)
  const plan = await loadPlan(flags)
  const { dialect, notes } = await dialectFrom(urls[0] as string, flags, {
    tls,
    isReplay: plan.kind === 'replay',
  })
  const connections = flags.connections ?? (plan.kind === 'closed' ? CALLERS : MOST_AT_A_TIME)
  const threads = Math.min(flags.threads ?? Math.min(2, processors), connections)
  if (connections > threads * MOST_PER_THREAD)
    throw new UserError(
      `--connections ${connections} needs at least ${Math.ceil(connections / MOST_PER_THREAD)} --threads`,
    )
  const { keys, zipf: exponent, seed, timeout: timeoutMs, streams, driver, rounds } = flags
  const draw = { keys, exponent, seed }
  const load = { urls, plan, connections, threads, warmUpMs: flags.warmUp, rounds }
  return { test: { ...load, ...draw, dialect, timeoutMs, tls, streams, driver }, notes }
}

function refuseContradictions(url: string, flags: BenchFlags): void {
  const { profile, rate, duration, compare, driver, protocol, rows, body } = flags
  const isReplay = profile?.kind === 'replay'
  const wrong: readonly (readonly [isWrong: boolean, what: string])[] = [
    [
      [url, compare ?? url].some((one) => new URL(one).username + new URL(one).password !== ''),
      'every user of this machine can read a command line: give credentials by --headers-file, not in the URL',
    ],
    [
      rate !== undefined && profile !== undefined,
      '--rate and --profile both say how many calls there are: give one',
    ],
    [
      duration !== undefined && profile?.kind === 'stages',
      'a --profile has its own times: leave --duration out',
    ],
    [
      compare !== undefined && profile !== undefined,
      '--compare asks both servers for the same load in turn: give --rate, or no rate at all, instead of --profile',
    ],
    [
      driver === 'autocannon' && (rate !== undefined || profile !== undefined),
      'autocannon has no open loop: leave --driver, --rate or --profile out',
    ],
    [
      driver === 'autocannon' &&
        (isGrpcProtocol(protocol) || flags.http2 === true || !url.startsWith('http:')),
      'autocannon knows HTTP/1.1 in cleartext alone: leave --driver out',
    ],
    [
      driver === 'autocannon' && protocol === 'openai' && flags.endpoint !== 'embeddings',
      'autocannon reads no tokens: leave --driver out',
    ],
    [
      rows > flags.keys * Math.max(1, Math.round(rows * (1 - flags.overlap))),
      `--rows ${rows} of fewer different rows: give more --keys or less --overlap`,
    ],
    [body !== undefined && isGrpcProtocol(protocol), `--body is text, and ${protocol} is not`],
    [isReplay && body !== undefined, 'a replay has its own bodies: leave --body out'],
    [
      (flags.clientCert === undefined) !== (flags.clientKey === undefined),
      '--client-cert and --client-key go together: give both',
    ],
  ]
  const found = wrong.find(([isWrong]) => isWrong)
  if (found) throw new UserError(found[1])
}

/** `grpc://` and `grpcs://` are what `serve` calls them. */
function httpUrlOf(url: string): string {
  return url.replace(/^grpc(s?):/, 'http$1:').replace(/\/+$/, '')
}

function tlsFrom({ ca, clientCert, clientKey }: BenchFlags): ClientTls | undefined {
  if (ca === undefined && clientCert === undefined) return undefined
  const identity =
    clientCert !== undefined && clientKey !== undefined
      ? { cert: textOf('--client-cert', clientCert), key: textOf('--client-key', clientKey) }
      : undefined
  const authorities = ca === undefined ? undefined : textOf('--ca', ca)
  return { ca: authorities, identity, serverName: undefined, isVerified: true }
}

async function loadPlan({ profile, rate, duration, speed, spacing }: BenchFlags): Promise<PhasePlan> {
  if (profile?.kind === 'stages') return { kind: 'open', stages: profile.stages, spacing }
  if (profile?.kind === 'replay') return replayPlan(profile.path, speed, duration)
  const durationMs = duration ?? DURATION_MS
  if (rate === undefined) return { kind: 'closed', durationMs }
  return { kind: 'open', stages: [flat(rate, durationMs)], spacing }
}

async function replayPlan(
  path: string,
  speed: number,
  limitMs = Number.POSITIVE_INFINITY,
): Promise<PhasePlan> {
  const files = await logFiles(path, `replay:${path}`)
  const { calls, ms } = await spanOf(files)
  if (calls === 0) throw new UserError(`replay:${path} has no line of a prediction log with "format: jsonl"`)
  return { kind: 'replay', files, speed, durationMs: Math.min(limitMs, ms / speed), limitMs }
}

interface Known {
  readonly tls: ClientTls | undefined
  readonly isReplay: boolean
}

const DEFAULT_MODEL = 'digits'

async function dialectFrom(
  url: string,
  flags: BenchFlags,
  { tls, isReplay }: Known,
): Promise<{ readonly dialect: DialectOptions; readonly notes: readonly string[] }> {
  const { protocol, rows, overlap, path, body, endpoint, maxTokens, temperature, words } = flags
  const headers = headersFrom(flags, process.env)
  const isHttp2 = flags.http2 === true
  const asked = { url, protocol, headers, isHttp2, tls }
  const template = body === undefined ? undefined : textOf('--body', body)
  const common = { protocol, rows, overlap, headers, isHttp2, path, template }
  const generation = { endpoint, maxTokens, temperature, words }
  const dialect = { ...common, model: flags.model ?? DEFAULT_MODEL, inputs: [] as RowInput[], generation }
  if (template !== undefined || isReplay) return { dialect, notes: [] }
  try {
    if (protocol === 'openai') {
      const model = flags.model ?? (await firstModel(asked))
      if (model === undefined) throw new UserError(`${url}/v1/models names no model: give --model`)
      return { dialect: { ...dialect, model }, notes: [] }
    }
    // Whoever names a path and no model may mean a server that has neither models nor metadata.
    const isAsked = flags.input === undefined && (path === undefined || flags.model !== undefined)
    const described = isAsked ? await describeInputs({ ...asked, model: dialect.model }) : undefined
    const inputs =
      flags.input ?? (described ? inputsOf(described, flags.features) : unknownInput(flags.features))
    if (inputs.reduce((sum, input) => sum + elementsOfRow(input), 0) * rows > MAX_NUMBERS)
      throw new UserError(`a call has more than ${MAX_NUMBERS} numbers: give less --rows or --features`)
    const what = `the server does not say what ${dialect.model} takes: rows of ${flags.features} numbers are sent; --input says otherwise`
    return { dialect: { ...dialect, inputs: [...inputs] }, notes: isAsked && !described ? [what] : [] }
  } catch (error) {
    if (!(error instanceof UnreachableError)) throw error
    const hint = isLocal(url) ? ': is the gateway running? (infergate serve)' : ''
    throw new UserError(`no answer from ${new URL(url).origin}${hint} (${error.message})`)
  }
}

const unknownInput = (features: number): RowInput[] => [
  { name: 'input', datatype: 'FP32', shape: [features] },
]

function isLocal(url: string): boolean {
  const { hostname } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  return host === 'localhost' || (isIPv4(host) && host.startsWith('127.')) || (isIPv6(host) && host === '::1')
}

/** How a test is made, for the report: no header field and no body, which may be secret. */
export function madeWith({
  dialect,
  plan,
  ...test
}: LoadTestOptions): (readonly [name: string, value: string])[] {
  const { protocol, model, rows, overlap, inputs, generation, path } = dialect
  const shapes = inputs.map(({ name, datatype, shape }) => `${name}:${datatype}:${shape.join('x')}`)
  const load =
    plan.kind === 'open' ? plan.stages.map(({ from, to, ms }) => `${from} to ${to} a second in ${ms} ms`) : []
  const made: readonly (readonly [name: string, value: string | number | undefined])[] = [
    ['protocol', protocol],
    ['endpoint', protocol === 'openai' ? generation.endpoint : undefined],
    ['model', path === undefined ? model : undefined],
    ['path', path],
    ['rows a call', rows],
    ['inputs', shapes.join(', ') || undefined],
    ['keys', `${test.keys}, Zipf ${test.exponent}, overlap ${overlap}, seed ${test.seed}`],
    [
      'loop',
      plan.kind === 'closed'
        ? 'closed'
        : plan.kind === 'open'
          ? `open, ${plan.spacing}`
          : `replay, times ${plan.speed}`,
    ],
    ['rates', load.length === 0 ? undefined : load.slice(0, MOST_STAGES).join('; ')],
    ['seconds', plannedMs(plan) / 1000],
    ['calls at a time', test.connections],
    ['warm-up', `${test.warmUpMs} ms`],
    ['time-out', `${test.timeoutMs} ms`],
    ['generators', `${test.threads}, ${test.driver}`],
  ]
  return made.flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)] as const]))
}

/** Stages of a profile that the report lists. */
const MOST_STAGES = 20
