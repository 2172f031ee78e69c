/** The heap of a Node process that was started with `--inspect`, asked over its inspector. */
import type { ChildProcess } from 'node:child_process'

export interface Inspector {
  collectGarbage(): Promise<void>
  /** Bytes in use, what nobody refers to any more included. */
  usedHeapBytes(): Promise<number>
  close(): void
}

/** `child`: its standard error must be a pipe that nobody has read from yet. */
export async function inspect(child: ChildProcess): Promise<Inspector> {
  const socket = new WebSocket(await address(child))
  const waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>()
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve)
    socket.addEventListener('error', () => reject(new Error('the inspector cannot be reached')))
  })
  socket.addEventListener('message', ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { readonly id?: number; readonly result: unknown }
    if (id !== undefined) waiting.get(id)?.resolve(result)
    if (id !== undefined) waiting.delete(id)
  })
  socket.addEventListener('close', () => {
    for (const { reject } of waiting.values()) reject(new Error('the process has ended'))
  })
  let last = 0
  const ask = (method: string): Promise<unknown> =>
    new Promise((resolve, reject) => {
      waiting.set(++last, { resolve, reject })
      socket.send(JSON.stringify({ id: last, method }))
    })
  return {
    collectGarbage: async () => void (await ask('HeapProfiler.collectGarbage')),
    usedHeapBytes: async () => ((await ask('Runtime.getHeapUsage')) as { usedSize: number }).usedSize,
    close: () => socket.close(),
  }
}

/** Where it says that it can be inspected. */
function address({ stderr }: ChildProcess): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    stderr?.on('data', (bytes: Buffer) => {
      text += bytes.toString()
      const url = /ws:\/\/\S+/.exec(text)?.[0]
      if (url !== undefined) resolve(url)
    })
    stderr?.once('close', () => reject(new Error(`it ended before it could be inspected: ${text}`)))
  })
}
