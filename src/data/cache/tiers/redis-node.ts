/**
 * Opens a connection to one Redis server. Every connection, to whichever node and for whatever purpose, is made here, so that
 * all have the same TLS, credentials and database.
 */

import { isIP } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import type { SocketAddress } from '../../../core/addresses.ts'
import type { RedisTarget } from '../../../core/redis-url.ts'
import { connectOptions } from '../../../lib/tls/connect-options.ts'
import type { ClientTls } from '../../../lib/tls/material.ts'
import { ConnectionRefused, ReconnectingConnection } from './reconnecting-connection.ts'
import { connectRedis, type SendCommands } from './redis-connection.ts'
import { diagnosed, isIdle, refusalOf } from './redis-refusal.ts'
import { type Args, isOk, type RedisReply, RespError } from './redis-reply.ts'

export interface NodeOptions {
  readonly target: RedisTarget
  /** For `rediss://`; called for every connection. */
  readonly tls?: (() => ClientTls | undefined) | undefined
  /** A node of a cluster: it may redirect a key to another node. */
  readonly cluster: boolean
  /** Called for every attempt; in a cluster it may differ from the URL's. */
  readonly address: () => SocketAddress
  readonly connectTimeout: number
  /** The longest value that the tier takes. */
  readonly maxBytes: number
  /** Commands sent first, to check that all that the tier needs later is allowed; they change nothing. */
  readonly trial: readonly ConnectionCheck[]
  /** For a connection that subscribes: called for each message. */
  readonly onMessage?: () => void
}

export interface ConnectionCheck {
  readonly args: Args
  /** Whether the reply is right for the command; errors are judged before. Left out: any reply is. */
  readonly fits?: (reply: RedisReply) => boolean
  /** Why the reply, perhaps an error, makes this server unfit; undefined: it does not. */
  readonly rejects?: (reply: RedisReply) => Error | undefined
}

export function openNode({
  target,
  tls,
  cluster,
  trial,
  maxBytes,
  onMessage,
  ...options
}: NodeOptions): ReconnectingConnection<SendCommands> {
  const opening: ConnectionCheck[] = []
  const { user, password, database, isSecure } = target
  if (password !== '' || user !== '')
    opening.push({ args: ['AUTH', ...(user === '' ? [] : [user]), password], fits: isOk })
  if (database !== 0) opening.push({ args: ['SELECT', `${database}`], fits: isOk })
  const all = [...opening, ...trial]
  return new ReconnectingConnection<SendCommands>({
    ...options,
    open: (address, events) => {
      const secure = isSecure ? secured(address, target.address, tls?.()) : undefined
      const bounds = { maxBytes, isSubscriber: onMessage !== undefined }
      return connectRedis(address, { ...bounds, tls: secure, onMessage }, events)
    },
    async greet(send) {
      // All commands go out at once; the first that is refused tells why.
      const replies = await send(all.map((each) => ({ args: each.args })))
      replies.forEach((reply, i) => {
        if (!cluster || !isElsewhere(reply)) judge(reply, all[i] as ConnectionCheck, i < opening.length)
      })
    },
    diagnose: (error, address) => diagnosed(error, address, isSecure),
  })
}

/** TLS to a numeric address expects the name in the URL. */
function secured(
  address: SocketAddress,
  named: SocketAddress,
  tls: ClientTls | undefined,
): ConnectionOptions {
  const host = hostOf(address)
  const name = tls?.serverName ?? (isIP(host) ? hostOf(named) : host)
  return { ...connectOptions(tls), ...(name === '' || isIP(name) ? {} : { servername: name }) }
}

function hostOf(address: SocketAddress): string {
  return 'host' in address ? address.host : ''
}

function isElsewhere(reply: RedisReply): boolean {
  return reply instanceof RespError && /^(?:MOVED|ASK|CLUSTERDOWN)\b/.test(reply.message)
}

function judge(reply: RedisReply, { fits = () => true, rejects }: ConnectionCheck, mustPass: boolean): void {
  const refusal = refusalOf(reply)
  if (refusal !== undefined) throw new ConnectionRefused(refusal)
  const rejection = rejects?.(reply)
  if (rejection) throw rejection
  if (reply instanceof RespError) {
    if (isIdle(reply)) throw new Error(`it cannot serve yet (${reply.code})`)
    // The server is full, or a replica for now: lookups work, and writes will fail by themselves.
    if (mustPass) throw new Error(`it refused the greeting (${reply.code || 'unknown error'})`)
    return
  }
  if (!fits(reply)) throw new Error('it does not answer as a Redis does')
}
