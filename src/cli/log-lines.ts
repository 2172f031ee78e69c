/** Lines of log files and pipes, as long as they are sound: what is no line of the access log is passed over. */
import { open } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import { readCall } from './answers.ts'

export type CallLogLine = NonNullable<ReturnType<typeof readCall>>

/** A longer line is none of ours, and is passed over. */
const MAX_LINE_CHARS = 1 << 20
const FOLLOW_MS = 200

/** The calls among the lines of a stream of bytes. */
export async function* callsIn(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<CallLogLine> {
  for await (const line of linesIn(bytes)) {
    const call = callOf(line)
    if (call) yield call
  }
}

/** Undefined: it is no line of the access log. */
function callOf(line: string): CallLogLine | undefined {
  if (!line.includes('"call"')) return undefined
  try {
    return readCall(JSON.parse(line))
  } catch {
    return undefined
  }
}

async function* linesIn(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const chunk of bytes) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    if (rest.length > MAX_LINE_CHARS) rest = ''
    yield* lines
  }
  yield rest
}

/** The bytes of a file; with `follow` also those that are written behind its end. Rejects where it cannot be read. */
export async function* bytesOf(file: string, follow: boolean): AsyncGenerator<Uint8Array> {
  const handle = await open(file)
  try {
    for (;;) {
      const buffer = Buffer.allocUnsafe(64 * 1024)
      const { bytesRead } = await handle.read(buffer)
      if (bytesRead > 0) yield buffer.subarray(0, bytesRead)
      else if (follow) await sleep(FOLLOW_MS)
      else return
    }
  } finally {
    await handle.close()
  }
}
