/** What becomes of an exchange with a backend, for tests of the clients. */
import { expect } from 'vitest'
import type { GatewayError } from '../../src/core/errors.ts'
import type { BackendResponse } from '../../src/data/backend/exchange.ts'
import { collected } from '../../src/data/backend/incoming.ts'
import type { Awaitable } from '../../src/lib/deferred.ts'
import { later } from './later.ts'

const MOST_BYTES = 1e9

export async function textOf({ reply }: BackendResponse): Promise<string> {
  return Buffer.from((await collected(reply.body, MOST_BYTES)).bytes).toString('latin1')
}

export function textLater(coming: Awaitable<BackendResponse>): Promise<string> {
  return later(Promise.resolve(coming).then(textOf))
}

/** The error that it must end with. */
export async function fails(coming: Awaitable<unknown>): Promise<GatewayError> {
  try {
    await coming
  } catch (error) {
    return error as GatewayError
  }
  return expect.unreachable('it should have failed')
}
