/** What a client's script and a server say to each other over gRPC, written to files for `npm test`. */
import { startCallRecorder } from './call-recorder.ts'
import { type Client, casesOf } from './clients.ts'
import { namesThisMachine } from './exchanges.ts'
import type { Session } from './session.ts'
import { encodeBytes, type WireCall, writeWire } from './wire.ts'

/** The script is run once, directly: each of its cases has to be one call. Calls that come again, and streams, are left out. */
export async function recordCalls(session: Session, client: Omit<Client, 'gateways'>): Promise<void> {
  const recorder = await startCallRecorder(client.direct)
  session.owns(recorder)
  const { cases } = await casesOf(client, recorder.url)
  const { calls } = recorder
  if (cases.length !== calls.length)
    throw new Error(`${client.group}: ${cases.length} cases made ${calls.length} calls`)
  const kept = new Map<string, WireCall>()
  for (const [at, { path, fields, sent, received }] of calls.entries()) {
    const of = `${path} ${sent.toString('base64')}`
    const told = Buffer.concat([received.body, Buffer.from(JSON.stringify(received))])
    if (kept.has(of) || path.endsWith('StreamInfer') || namesThisMachine(told)) continue
    const { case: name, cached = 0 } = cases[at] as (typeof cases)[number]
    kept.set(of, {
      ...{ name, again: cached > 0 ? 'hit' : 'forwarded', path, fields },
      sent: encodeBytes(sent),
      received: { ...received, body: encodeBytes(received.body) },
    })
  }
  const { software, commands } = session
  const date = new Date().toISOString().slice(0, 10)
  writeWire(`${session.system.name}/grpc`, client.group, {
    software,
    commands,
    date,
    calls: [...kept.values()],
  })
}
