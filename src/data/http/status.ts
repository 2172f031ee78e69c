/** The header fields that tell a client what happened to its call: Cache-Status (RFC 9211), Age, Proxy-Status (RFC 9209). */
import type { RawPairs } from '../../core/call.ts'
import type { GatewayError } from '../../core/errors.ts'
import type { Answer, Outcome } from '../../core/reply.ts'
import { lastOf } from '../../lib/memo.ts'

/** The value of Cache-Status, or undefined where the cache had no part in it. */
export function cacheStatus(outcome: Outcome): string | undefined {
  switch (outcome.kind) {
    case 'hit':
      return `infergate; hit; ttl=${seconds(outcome.ttlMs)}; detail=${token(outcome.detail ?? outcome.tier)}`
    case 'miss':
      return `infergate; fwd=${outcome.isStale ? 'stale' : 'miss'}${fwdStatus(outcome.status)}${outcome.collapsed ? '; collapsed' : ''}${
        outcome.stored && !outcome.collapsed ? '; stored' : ''
      }`
    case 'partial': {
      const { hit, join, miss, dup } = outcome.rows
      return `infergate; fwd=partial${fwdStatus(outcome.status)}${outcome.stored ? '; stored' : ''}${detail(
        `rows hit=${hit} join=${join} miss=${miss} dup=${dup}`,
      )}`
    }
    case 'bypass':
      return `infergate; fwd=bypass${fwdStatus(outcome.status)}${detail(outcome.reason)}`
    case 'request':
      return `infergate; fwd=request${fwdStatus(outcome.status)}${outcome.stored ? '; stored' : ''}${detail(outcome.reason)}`
    case 'stale':
      return `infergate; fwd=stale${fwdStatus(outcome.status)}; detail="stale-if-error"`
    case 'none':
      return undefined
  }
}

/** Seconds of Age for an answer from the cache, or undefined. */
export function age(outcome: Outcome): number | undefined {
  return outcome.kind === 'hit' || outcome.kind === 'partial' || outcome.kind === 'stale'
    ? Math.floor(outcome.ageMs / 1000)
    : undefined
}

/** Cache-Status and Age. */
export function cacheFields(outcome: Outcome): RawPairs {
  const status = cacheStatus(outcome)
  const seconds = age(outcome)
  if (status === undefined) return NONE
  return seconds === undefined ? ['Cache-Status', status] : ['Cache-Status', status, 'Age', String(seconds)]
}

const NONE: RawPairs = []

export function proxyStatus(error: GatewayError): string {
  return `infergate; error=${error.fault.proxyStatus}; details=${quoted(error.message)}`
}

/** The same, and Proxy-Status of an answer by another pool than the call was for: no error, since it is a backend's (RFC 9209, section 2.1.2). */
export function answerFields({ outcome, pool, fallback }: Answer): RawPairs {
  const fields = cacheFields(outcome)
  if (!fallback || pool === undefined) return fields
  const details = quoted(`fallback from ${fallback.from}: ${fallback.reason}`)
  return [...fields, 'Proxy-Status', `infergate; next-hop=${token(pool)}; details=${details}`]
}

function fwdStatus(status: number | undefined): string {
  return status === undefined ? '' : `; fwd-status=${status}`
}

function detail(text: string): string {
  return `; detail=${token(text)}`
}

function seconds(ms: number): number {
  return Math.ceil(ms / 1000)
}

/** A structured-field token where the text is one, a string otherwise (RFC 9651, sections 3.3.3 and 3.3.4). */
const token = lastOf((text: string) => (/^[A-Za-z*][\w:/!#$%&'*+.^`|~-]*$/.test(text) ? text : quoted(text)))

function quoted(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`
}
