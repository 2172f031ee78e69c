/**
 * The types of values in the YAML: what each accepts, what it becomes, and how it is printed. Messages never repeat a
 * value, which may be a secret in the wrong place.
 */

import { BlockList, isIP } from 'node:net'
import * as z from 'zod'
import type { HostPort } from '../../core/addresses.ts'
import { formatDuration, formatSize, parseDuration, parseSize } from '../../lib/bytes.ts'
import { parseQuota, parseRate } from '../../lib/rate.ts'

/** How a value is documented and printed, where its zod type does not say it. */
export type ValueKind =
  | 'duration'
  | 'size'
  | 'share'
  | 'rate'
  | 'quota'
  | 'address'
  | 'secret'
  | 'secretUrl'
  | 'place'

export interface KindNote {
  readonly kind: ValueKind
  /** The accepted range in words, for the reference. */
  readonly range?: string
}

/** Metadata of leaf schemas, used to print settings and to write the reference. */
export const kinds = z.registry<KindNote>()

/**
 * Fields that a running gateway cannot change, or whose presence it cannot change; everything else is live.
 */
export const statics = z.registry<{ readonly restart: 'value' | 'presence' }>()

/** Marks a field as one that needs a restart. The outermost call, as zod's methods return new schemas. */
export function fixed<S extends z.ZodType>(schema: S): S {
  statics.add(schema, { restart: 'value' })
  return schema
}

/** Marks an optional block that can be changed live, but neither added nor removed. The outermost call. */
export function fixedPresence<S extends z.ZodType>(schema: S): S {
  statics.add(schema, { restart: 'presence' })
  return schema
}

/** For optional fields without one fixed default: what applies instead, for the reference. */
export const fallbacks = z.registry<{ readonly from: string }>()

/** An optional field; `from` says in a few words what applies instead. Must be the outermost call. */
export function orElse<S extends z.ZodType>(schema: S, from: string): S {
  fallbacks.add(schema, { from })
  return schema
}

/** What a refused value reports: the message, and the fix where one is known. */
export function refuse(ctx: z.RefinementCtx, message: string, path: readonly PropertyKey[] = []): never {
  ctx.addIssue({ code: 'custom', message, path: [...path] })
  return z.NEVER
}

/** As `refuse`, and stops further checks of the value that contains this one. */
function refuseWhole(ctx: z.RefinementCtx, message: string): void {
  ctx.addIssue({ code: 'custom', message, continue: false })
}

/** Longest wait a Node timer can hold: 2^31 - 1 ms. */
const LONGEST_TIMER = '24d'

/** `50ms`, `10m`, … → milliseconds. */
export function duration({ min = '1ms', max = LONGEST_TIMER }: { min?: string; max?: string } = {}) {
  const [least, most] = [parseDuration(min), parseDuration(max)]
  const range = `${formatDuration(least)} to ${formatDuration(most)}`
  return measure({ kind: 'duration', range }, [least, most], parseDuration)
}

/** `64MiB`, `10kB`, … → bytes. */
export function size({ min = '1B', max = '16TiB' }: { min?: string; max?: string } = {}) {
  const [least, most] = [parseSize(min), parseSize(max)]
  const range = `${formatSize(least)} to ${formatSize(most)}`
  return measure({ kind: 'size', range }, [least, most], parseSize)
}

/** `1%`, `100%`, `0.1%` → the share, from above 0 to 1. */
export function share() {
  return z
    .string({ error: SHARE_HINT })
    .transform((text, ctx) => {
      const percent = /^(\d+(?:\.\d+)?)\s?%$/.exec(text.trim())?.[1]
      const value = Number(percent) / 100
      return value > 0 && value <= 1 ? value : refuse(ctx, SHARE_HINT)
    })
    .register(kinds, { kind: 'share', range: 'above 0% to 100%' })
}

/** The same, and `0%`: none for now. */
export function shareOrNone() {
  return z
    .string({ error: SHARE_OR_NONE_HINT })
    .transform((text, ctx) => {
      const percent = /^(\d+(?:\.\d+)?)\s?%$/.exec(text.trim())?.[1]
      const value = Number(percent) / 100
      return value >= 0 && value <= 1 ? value : refuse(ctx, SHARE_OR_NONE_HINT)
    })
    .register(kinds, { kind: 'share', range: '0% to 100%' })
}

const SHARE_OR_NONE_HINT = 'expected a share from 0% to 100%, such as 10%'
const SHARE_HINT = 'expected a share above 0% and at most 100%, such as 1%'

function measure(note: KindNote, [least, most]: [number, number], parse: (text: string) => number) {
  return z
    .union([z.string(), z.number()], { error: () => explain(parse) })
    .transform((given, ctx) => {
      try {
        const value = parse(String(given))
        return value >= least && value <= most ? value : refuse(ctx, `must be from ${note.range}`)
      } catch (error) {
        return refuse(ctx, (error as SyntaxError).message)
      }
    })
    .register(kinds, note)
}

/** The parser's message for an invalid text. */
function explain(parse: (text: string) => number): string {
  try {
    parse('?')
    return ''
  } catch (error) {
    return (error as SyntaxError).message
  }
}

/** `100/s`, `60k/m` → a number of units in so many milliseconds. */
export function rate() {
  return z
    .string()
    .transform((text, ctx) => {
      try {
        return parseRate(text)
      } catch (error) {
        return refuse(ctx, (error as SyntaxError).message)
      }
    })
    .register(kinds, { kind: 'rate' })
}

/** `10M/d`, `1G/mo` → a number of units in each day or month of the calendar. */
export function quota() {
  return z
    .string()
    .transform((text, ctx) => {
      try {
        return parseQuota(text)
      } catch (error) {
        return refuse(ctx, (error as SyntaxError).message)
      }
    })
    .register(kinds, { kind: 'quota' })
}

/** `0.0.0.0:8080`, `[::1]:0`, `localhost:9090` → host and port. Port 0: whichever is free. */
export function address() {
  return z
    .string()
    .transform((text, ctx): HostPort => {
      const parts = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9.-]+)):(\d{1,5})$/.exec(text)
      const [host, port] = [parts?.[1] ?? parts?.[2] ?? '', Number(parts?.[3])]
      const isBracketed = parts?.[1] !== undefined
      if (!parts || port > 65_535 || (isBracketed && isIP(host) !== 6) || looksLikeBrokenIp(host)) {
        return refuse(
          ctx,
          'expected an address with its port, such as 0.0.0.0:8080, 127.0.0.1:0 or [::]:8080',
        )
      }
      return { host, port }
    })
    .register(kinds, { kind: 'address' })
}

const looksLikeBrokenIp = (host: string): boolean => /^[\d.]+$/.test(host) && isIP(host) !== 4

/** `10.0.0.0/8`, `::1/128`, or one address, for `net.BlockList`. */
export function cidr() {
  return z.string().superRefine((text, ctx) => {
    const [base = '', bits, ...rest] = text.split('/')
    const family = isIP(base)
    const isWhole = bits === undefined || /^\d{1,3}$/.test(bits)
    if (family === 0 || !isWhole || rest.length > 0 || Number(bits ?? 0) > (family === 4 ? 32 : 128)) {
      refuse(ctx, 'expected an address range, such as 10.0.0.0/8, fd00::/8 or 192.168.1.7')
    }
  })
}

/** A host name, `*.` and a domain, an address, or a range of addresses. */
export function hostPattern() {
  return z.string().superRefine((text, ctx) => {
    const isName = /^(?:\*\.)?[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$/.test(text)
    const isRange = cidr().safeParse(text).success
    if (!isRange && (!isName || (/^[\d.]+$/.test(text) && isIP(text) === 0)))
      refuse(ctx, 'expected a host without a port, such as dn1.example, *.example or 10.0.0.0/8')
  })
}

/** True for the addresses nobody outside this machine can reach. */
export function isLoopback(host: string): boolean {
  if (host === 'localhost') return true
  const family = isIP(host)
  return family !== 0 && LOOPBACK.check(host, family === 6 ? 'ipv6' : 'ipv4')
}

const LOOPBACK = new BlockList()
LOOPBACK.addSubnet('127.0.0.0', 8, 'ipv4')
LOOPBACK.addAddress('::1', 'ipv6')

/** A base URL without credentials, query or fragment; a trailing slash is dropped. */
export function httpUrl() {
  return z.string().transform((text, ctx) => {
    const url = URL.canParse(text) ? new URL(text) : undefined
    if (!url || !/^https?:\/\//i.test(text)) {
      const what = /^https?:\/\//i.test(text)
        ? 'this is no URL: see whether its host and its port (at most 65535) are right'
        : 'expected a URL with its scheme, such as http://127.0.0.1:8501'
      return refuse(ctx, what)
    }
    if (url.port === '0') return refuse(ctx, NO_PORT)
    if (url.username !== '' || url.password !== '') return refuse(ctx, 'no credentials in this URL')
    if (url.search !== '' || url.hash !== '' || /[?#]/.test(text)) {
      return refuse(ctx, 'no query and no fragment in this URL: the path of the call is appended to it')
    }
    return url.href.replace(/\/+$/, '')
  })
}

const NO_PORT = 'nothing listens on port 0: write the port it really has'

/** A URL of one of `protocols` that may carry a password; shown without it. */
export function serviceUrl(protocols: readonly string[], example: string) {
  return z
    .string()
    .superRefine((text, ctx) => {
      const url = URL.parse(text)
      if (!url || !protocols.includes(url.protocol)) {
        const hint = text.includes('@') ? `; ${ENCODED}` : ''
        return refuseWhole(ctx, `expected a URL such as ${example}${hint}`)
      }
      if (url.port === '0') refuseWhole(ctx, NO_PORT)
      if (![url.username, url.password].every(isEncoded)) refuseWhole(ctx, ENCODED)
    })
    .register(kinds, { kind: 'secretUrl' })
}

const ENCODED = 'in a user or password % is written %25, @ is %40, : is %3A, / is %2F and # is %23'

/** False for invalid percent-encoding, which the client could not decode. */
function isEncoded(text: string): boolean {
  try {
    decodeURIComponent(text)
    return true
  } catch {
    return false
  }
}

/** A text that is shown as `***`. */
export function secret() {
  return z.string().min(1).register(kinds, { kind: 'secret' })
}

/** Names of pools, models, routes, tiers: they stand in URLs, metrics and headers. */
export function nameOf(what: string) {
  const error = `a ${what}'s name has 1 to 64 letters, digits, "_", "-" and ".", the first a letter or digit`
  return z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/, { error })
}

/** `host:port`, with an IPv6 host in brackets; unlike `address`, the port is somebody else's and not 0. */
export function hostPort(example: string) {
  return serverOf(/^(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[1-9]\d{0,4}$/, `host:port, such as ${example}`)
}

/** The same, or the path of a Unix socket as `unix:/path`. */
export function hostPortOrSocket(example: string) {
  return serverOf(
    /^(?:unix:(?:\/\/)?\/[\x21-\x7e]{1,100}|(?:\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+):[1-9]\d{0,4})$/,
    `host:port or unix:/path, such as ${example}`,
  )
}

function serverOf(form: RegExp, what: string) {
  const error = `expected ${what}`
  return z
    .string()
    .regex(form, { error, abort: true })
    .refine((text) => text.startsWith('unix:') || Number(/\d+$/.exec(text)?.[0]) <= 65_535, { error })
}

export const count = (min: number, max: number) => z.int().min(min).max(max)

/** Reports, at `path`, a lower bound that is above its upper one. */
export function ordered(
  ctx: z.RefinementCtx,
  [lower, upper]: readonly [number, number],
  names: readonly [string, string],
): void {
  if (lower > upper) refuse(ctx, `must not be above ${names[1]}`, [names[0]])
}
