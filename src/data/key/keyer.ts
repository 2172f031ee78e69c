/**
 * What a key covers besides the body: everything that can change the answer or who may have it. Each field is
 * written with its length before it, so that no two different partitions have the same bytes.
 */
import { type Call, header, headerAll, type RawPairs, upstreamMethod } from '../../core/call.ts'
import { folded } from '../../core/fields.ts'
import { type Digest, digestOf } from '../../core/key.ts'
import type { Clock } from '../../lib/clock.ts'
import type { Protocol } from '../../protocol/protocol.ts'
import type { Matched, OpenMatched } from '../route/routes.ts'
import type { DeploymentToken } from './deployed.ts'
import type { Deployments } from './deployment.ts'
import { namesOfCall } from './epoch-names.ts'
import type { Epochs, EpochValues } from './epochs.ts'
import { meaningOf } from './meaning.ts'
import { said } from './raw.ts'

// A change of what the bytes below mean makes all older entries unreachable.
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
  /** False: an epoch or token in it is known to this process alone, so it must not reach a shared tier. */
  readonly shared: boolean
  /** False: what others keep under it may be looked up in shared tiers, and nothing added. */
  readonly writable: boolean
}

/** As much of a call as its seed is made from; the body is not. The deadline says only how long it may wait for that. */
export type Keyed = Pick<Call, 'method' | 'target' | 'path' | 'query' | 'headers' | 'host' | 'principal'> &
  Partial<Pick<Call, 'deadline'>>

export interface Keyer {
  /** While it stays the same, equal heads have equal seeds. */
  readonly revision: number
  seed(call: Keyed, matched: Matched): Seed | Promise<Seed>
  /**
   * A digest of all that a head says for the routes that its calls may be for, as far as a body does not say it: what is
   * found under it and a body is for the route and deployment that it was found for (`FoundFor`).
   */
  head(call: Keyed, open: OpenMatched): Digest
}

/** What a call may spend of the time it has on its key: most is for the backend. */
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
  writer.add(protocol.readsHeaderLength ? '' : said(header(call.headers, 'inference-header-content-length')))
  // What a server allows the pages of one origin is in the answer (CORS), mostly without Vary.
  writer.list(headerAll(call.headers, 'origin'))
  writer.add(route.match.host === undefined && !route.keepsHost ? '' : call.host)
  // Where the dialect names no model, path and query decide what is asked; a name with escapes may be another one to a
  // server that does not read them.
  const isSpelled = target.model === undefined || call.path.includes('%')
  writer.add(isSpelled ? call.path : '', call.query)
  writer.add(target.model ?? '', target.version ?? '', route.pool, deployment.value)
  writer.list(epochs.values)
  writer.list(meaningOf(call.headers).choosing)
  for (const name of route.cache?.vary ?? []) writer.list([name, ...spellings(call.headers, name)])
  // What was answered to somebody while all shared is not for the anonymous once each caller has answers of its own.
  writer.add(route.cache?.scope === 'shared' ? 'all' : 'caller')
  writer.add(route.cache?.scope === 'shared' ? '' : call.principal)
  return {
    digest: digestOf(writer.text),
    shared: epochs.shared && deployment.shared,
    writable: epochs.shared && deployment.writable,
  }
}

function headDigest(call: Keyed, { candidates }: OpenMatched): Digest {
  const writer = new FieldWriter()
  writer.add(SCHEMA, 'head', call.method, call.host, call.path, call.query, call.principal)
  writer.list(headerAll(call.headers, 'origin'))
  writer.list(meaningOf(call.headers).choosing)
  for (const { route, protocol, target } of candidates) {
    writer.add(route.name, route.pool, protocol.name, target.verb, route.cache?.scope ?? '')
    for (const name of route.cache?.vary ?? []) writer.list([name, ...spellings(call.headers, name)])
  }
  return digestOf(writer.text)
}

/**
 * The media type, unless it is one of those that the dialect reads as forms of one and the same request. None at all is not
 * one of them: what a server takes the body for then is its own affair (RFC 9110, section 8.3).
 */
function contentType(call: Keyed, { encodings }: Protocol): string {
  const type = header(call.headers, 'content-type')
  if (encodings === undefined || type === undefined) return said(type)
  const isForm = encodings.includes(type) || encodings.includes(type.toLowerCase().replace(UTF8, ''))
  return isForm ? FORM : said(type)
}

/** Nothing that `said` gives. */
const FORM = 'form'

/** JSON is UTF-8 whatever is said of it (RFC 8259, section 11), and binary tensors are no text. */
const UTF8 = /[ \t]*;[ \t]*(?:charset="?utf-?8"?)?[ \t]*$/

/** The values of a field, each with the name it came under where that is spelled with "_": a server may not tell it from "-". */
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
