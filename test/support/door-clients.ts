/** Doors and raw clients for the tests of one file, closed behind each test; and what such tests wait for and answer. */
import { afterEach, expect } from 'vitest'
import type { RawPairs } from '../../src/core/call.ts'
import type { Answer } from '../../src/core/reply.ts'
import { type DoorServer, type DoorServerOptions, RawClient, type RawReply, startDoor } from './door.ts'
import { eventually } from './eventually.ts'

export interface DoorClients {
  door(options?: DoorServerOptions): Promise<DoorServer>
  client(server: Pick<DoorServer, 'port'>): Promise<RawClient>
}

export function doorClients(): DoorClients {
  const open: { close?(): Promise<void>; destroy?(): void }[] = []
  const kept = <T extends (typeof open)[number]>(one: T): T => {
    open.push(one)
    return one
  }
  afterEach(async () => {
    for (const one of open.splice(0)) {
      one.destroy?.()
      await one.close?.()
    }
  })
  return {
    door: async (options = {}) => kept(await startDoor(options)),
    client: async ({ port }) => kept(await RawClient.connect(port)),
  }
}

export const answers = (of: RawClient, count: number): Promise<RawReply[]> =>
  eventually(() => {
    expect(of.answers).toHaveLength(count)
    return of.answers
  })

export const closed = (of: RawClient): Promise<void> => eventually(() => expect(of.closed).toBe(true))

export const answer = (status: number, text: string, headers: RawPairs = []): Answer => ({
  reply: { status, headers, body: Buffer.from(text) },
  outcome: { kind: 'none' },
})
