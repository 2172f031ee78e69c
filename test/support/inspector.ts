/** Runs a line of code inside a worker thread of a process that was started with `--inspect`. */
import { eventually } from './eventually.ts'

/** For the environment of the process: it then says on standard error where it can be inspected. */
export const INSPECTED = { NODE_OPTIONS: '--inspect=127.0.0.1:0' }

interface Message {
  readonly method?: string
  readonly params?: { readonly sessionId: string; readonly workerInfo: { readonly title: string } }
}

/** `title`: how the worker's name ends. The code may end the thread: nothing is waited for. */
export async function runInWorker(stderr: () => string, title: string, code: string): Promise<void> {
  const url = await eventually(() => {
    const found = /ws:\/\/\S+/.exec(stderr())?.[0]
    if (!found) throw new Error('it does not say where it can be inspected')
    return found
  })
  const socket = new WebSocket(url)
  const session = await new Promise<string>((resolve, reject) => {
    socket.addEventListener('error', () => reject(new Error('the inspector cannot be reached')))
    socket.addEventListener('open', () =>
      socket.send(
        JSON.stringify({ id: 1, method: 'NodeWorker.enable', params: { waitForDebuggerOnStart: false } }),
      ),
    )
    socket.addEventListener('message', ({ data }) => {
      const { method, params } = JSON.parse(String(data)) as Message
      if (method === 'NodeWorker.attachedToWorker' && params?.workerInfo.title.endsWith(title))
        resolve(params.sessionId)
    })
  })
  const message = JSON.stringify({ id: 1, method: 'Runtime.evaluate', params: { expression: code } })
  const answered = new Promise((resolve) => socket.addEventListener('message', resolve, { once: true }))
  socket.send(
    JSON.stringify({
      id: 2,
      method: 'NodeWorker.sendMessageToWorker',
      params: { sessionId: session, message },
    }),
  )
  await answered
  socket.close()
}
