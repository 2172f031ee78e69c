/**
 * Makes the seed of a key: the digest of everything but the body that can change the answer, or who may have it. Each
 * field is written with its length before it, so that no two different lists of fields have the same bytes.
 */
import { type Call, header, headerAll, type RawPairs, upstreamMethod } from '../../core/call.ts'
import { folded } from '../../core/fields.ts'
import { type Digest, digestOf } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Protocol } from '../../protocol/protocol.ts'
import { candidatesOf, type Matched } from '../route/routes.ts'
import { audienceOf } from './audience.ts'
import type { DeploymentToken } from './deployed.ts'
import type { Deployments } from './deployment.ts'
import { namesOfCall } from './epoch-names.ts'
import type { Epochs, EpochValues } from './epochs.ts'
import { meaningOf } from './meaning.ts'
import { keyPart } from './raw.ts'

// A change of what the bytes below mean needs another value, which makes all older entries unreachable.
const SCHEMA = 'ig5'

export interface KeyerParts {
  readonly epochs: Pick<Epochs, 'peek' | 'load' | 'revision'>
  /** What is deployed for a model in a pool; changes with every deployment. */
  readonly deployments: Pick<Deployments, 'peek' | 'load' | 'revision'>
  readonly clock: Clock
}

/** The digest of all that a key covers besides the body. */
export interface Seed {
  readonly digest: Digest
  /** False: this process alone knows an epoch or token in it, so nothing under it may reach a shared tier. */
  readonly shared: boolean
  /** False: entries of other gateways may be read under it; none may be written to shared tiers. */
  readonly writable: boolean
}

/** The part of a call from which its seed is made. The deadline bounds only the wait for epochs and deployments. */
export type Keyed = Pick<Call, 'method' | 'target' | 'path' | 'query' | 'headers' | 'host' | 'principal'> &
  Partial<Pick<Call, 'deadline' | 'identity' | 'isUpgrade'>>

export interface Keyer {
  /** While it stays the same, equal heads have equal seeds. */
  readonly revision: number
  seed(call: Keyed, matched: Matched): Seed | Promise<Seed>
  /**
   * The digest of all that a head decides for the candidate routes, the body aside. What is found under it and a body
   * belongs to the route and deployment for which it was stored (`FoundFor`).
   */
  head(call: Keyed, unsettled: Matched): Digest
}

/** The share of its remaining time that a call may spend on its key: most is for the backend. */
const SHARE = 0.25

export function createKeyer({ epochs, deployments, clock }: KeyerParts): Keyer {
  return {
    get revision() {
      return epochs.revision + deployments.revision
    },
    seed(call, matched) {
      const { route, target } = matched
      const names = namesOfCall({
        route: route.name,
        model: target.model,
        version: target.version,
        tags: route.cache?.tags ?? [],
      })
      const known = epochs.peek(names)
      const token = deployments.peek(route.pool, target)
      if (known && token) return digest(call, matched, token, known)
      const withinMs = call.deadline === undefined ? undefined : (call.deadline - clock.now()) * SHARE
      const loading = [epochs.load(names), deployments.load(route.pool, target, withinMs)] as const
      return Promise.all(loading).then(([loaded, deployment]) => digest(call, matched, deployment, loaded))
    },
    head: headDigest,
  }
}

function digest(call: Keyed, matched: Matched, deployment: DeploymentToken, epochs: EpochValues): Seed {
  const { route, protocol, target } = matched
  const writer = new FieldWriter()
  writer.add(SCHEMA, protocol.name, target.verb, upstreamMethod(call), route.name)
  writer.add(protocol.readsContentType ? '' : contentType(call, protocol))
  writer.add(
    protocol.readsHeaderLength ? '' : keyPart(header(call.headers, 'inference-header-content-length')),
  )
  // CORS: which origins a server allows is in the answer, mostly without Vary.
  writer.list(headerAll(call.headers, 'origin'))
  // Answers that were kept before have what the backends said of CORS.
  if (route.cors) writer.add('cors')
  // The same of fields that routes take away; and what a backend is told on its own account may change what it answers.
  if (route.answerFields) writer.add('answer fields', route.answerFields.taken)
  if (route.requestFields) writer.add('request fields', route.requestFields.text)
  if (route.rewrite?.host !== undefined) writer.add('host', route.rewrite.host)
  writer.add(route.match.host === undefined && !route.keepsHost ? '' : call.host)
  // Where the dialect names no model, path and query decide what is requested. A name with escapes may be another name to
  // a server that does not decode them.
  const isSpelled = target.model === undefined || call.path.includes('%')
  writer.add(isSpelled ? call.path : '', call.query)
  writer.add(target.model ?? '', target.version ?? '', route.pool, deployment.value)
  writer.list(epochs.values)
  writer.list(meaningOf(call.headers).choosing)
  for (const name of route.cache?.vary ?? []) writer.list([name, ...spellings(call.headers, name)])
  // Answers stored while the scope was `shared` must not reach the anonymous caller after it becomes `caller`.
  writer.add(...audienceOf(call, route.cache?.scope))
  return {
    digest: digestOf(writer.text),
    shared: epochs.shared && deployment.shared,
    writable: epochs.shared && deployment.writable,
  }
}

function headDigest(call: Keyed, unsettled: Matched): Digest {
  const writer = new FieldWriter()
  writer.add(SCHEMA, 'head', call.method, call.host, call.path, call.query, call.principal)
  writer.list(headerAll(call.headers, 'origin'))
  writer.list(meaningOf(call.headers).choosing)
  for (const { route, protocol, target } of candidatesOf(unsettled)) {
    writer.add(route.name, route.pool, protocol.name, target.verb, route.cache?.scope ?? '')
    for (const name of route.cache?.vary ?? []) writer.list([name, ...spellings(call.headers, name)])
  }
  return digestOf(writer.text)
}

/**
 * The media type, unless it is one that the dialect reads as a form of the same request. No media type at all is not one
 * of those: how a server then reads the body is its own choice (RFC 9110, section 8.3).
 */
function contentType(call: Keyed, { encodings }: Protocol): string {
  const type = header(call.headers, 'content-type')
  if (encodings === undefined || type === undefined) return keyPart(type)
  const isForm = encodings.includes(type) || encodings.includes(type.toLowerCase().replace(UTF8, ''))
  return isForm ? FORM : keyPart(type)
}

/** A value that `said` never gives. */
const FORM = 'form'

/** JSON is always UTF-8 (RFC 8259, section 11), and binary tensors are no text. */
const UTF8 = /[ \t]*;[ \t]*(?:charset="?utf-?8"?)?[ \t]*$/

/** The values of a field, each with its name where that is spelled with "_", which a server may or may not take for "-". */
function spellings(headers: RawPairs, name: string): string[] {
  const values: string[] = []
  const wanted = folded(name)
  for (let i = 0; i < headers.length; i += 2) {
    const written = headers[i] as string
    if (written.length !== name.length) continue
    const field = written.toLowerCase()
    if (field === name) values.push('=', headers[i + 1] as string)
    else if (folded(field) === wanted) values.push(field, headers[i + 1] as string)
  }
  return values
}

/** Length-prefixed fields in one string: injective, and one hash call. */
class FieldWriter {
  text = ''
  add(...fields: readonly string[]): void {
    for (const field of fields) this.text += `${field.length}:${field}`
  }
  list(fields: readonly string[]): void {
    this.add(String(fields.length), ...fields)
  }
}
