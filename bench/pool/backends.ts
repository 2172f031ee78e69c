/**
 * Backends with a script, several in one process: their service time is a timer and costs no processor, so that many of
 * them fit beside the gateway on a small machine. Each has a port of its own, so many slots, and a queue
 * before them, as model servers have.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'

export interface Script {
  readonly serviceMs: number
  /** What each row of a call takes longer; left out: rows are not looked at. */
  readonly rowMs?: number
  /** How much longer or shorter a call may take, as a part of it: any time within is as likely. Default 0. */
  readonly spread?: number
  /** Calls served at a time; others wait their turn. Default: no bound. */
  readonly slots?: number
  /** Default 200. Another one is answered to predictions only: the health check goes on saying that all is well. */
  readonly status?: number
}

export interface Backends {
  readonly urls: readonly string[]
  readonly pid: number
  script(at: number, script: Script): void
  /** Predictions that arrived at each backend since the start. */
  counts(): Promise<readonly number[]>
  /** SIGKILL to the process, and so to all backends in it. */
  kill(): Promise<void>
}

/** A call that is not being served yet. */
interface Waiting {
  readonly response: ServerResponse
  readonly rows: number
}

const predictions = (rows: number) => JSON.stringify({ predictions: new Array<number>(rows).fill(1) })

class Virtual {
  script: Script
  arrived = 0
  #running = 0
  readonly #waiting: Waiting[] = []

  constructor(script: Script) {
    this.script = script
  }

  arrive(waiting: Waiting): void {
    this.arrived++
    waiting.response.once('close', () => this.#leave(waiting))
    this.#waiting.push(waiting)
    this.#next()
  }

  #leave(waiting: Waiting): void {
    const at = this.#waiting.indexOf(waiting)
    if (at >= 0) this.#waiting.splice(at, 1)
  }

  #next(): void {
    const { slots = Infinity, serviceMs, rowMs = 0, spread = 0 } = this.script
    while (this.#running < slots) {
      const waiting = this.#waiting.shift()
      if (!waiting) return
      const { response, rows } = waiting
      const ms = (serviceMs + rowMs * rows) * (1 + spread * (2 * Math.random() - 1))
      this.#running++
      // Also where the caller has left: a model server computes to the end.
      setTimeout(() => {
        this.#running--
        const { status = 200 } = this.script
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(status === 200 ? predictions(rows) : '{"error":"scripted"}')
        this.#next()
      }, ms)
    }
  }
}

async function listen(virtual: Virtual, port: number): Promise<string> {
  const server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
    if (request.method === 'GET') {
      response.writeHead(200, { 'content-type': 'application/json' }).end('{"ready":true}')
      return
    }
    if (virtual.script.rowMs === undefined)
      return void request.resume().on('end', () => virtual.arrive({ response, rows: 1 }))
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { instances } = JSON.parse(Buffer.concat(chunks).toString()) as { instances: unknown[] }
      virtual.arrive({ response, rows: instances.length })
    })
  }).listen(port, '127.0.0.1')
  await once(server, 'listening')
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

if (import.meta.main) {
  const { scripts, port } = JSON.parse(process.argv[2] ?? '') as { scripts: Script[]; port: number }
  const virtuals = scripts.map((script) => new Virtual(script))
  process.on('message', (said: { at: number; script: Script } | 'count') => {
    if (said === 'count') process.send?.({ counts: virtuals.map(({ arrived }) => arrived) })
    else if (virtuals[said.at]) (virtuals[said.at] as Virtual).script = said.script
  })
  process.once('disconnect', () => process.exit(0))
  process.send?.({ urls: await Promise.all(virtuals.map((virtual) => listen(virtual, port))) })
}

/** Starts a process with one backend a script. `port`: of the only one; otherwise free ones are taken. */
export async function startBackends(scripts: readonly Script[], port = 0): Promise<Backends> {
  const said = JSON.stringify({ scripts, port })
  const child: ChildProcess = fork(fileURLToPath(import.meta.url), [said], { execArgv: [] })
  const [{ urls }] = (await once(child, 'message')) as [{ urls: string[] }]
  return {
    urls,
    pid: child.pid ?? 0,
    script: (at, script) => void child.send({ at, script }),
    async counts() {
      child.send('count')
      const [{ counts }] = (await once(child, 'message')) as [{ counts: number[] }]
      return counts
    },
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return
      const gone = once(child, 'exit')
      child.kill('SIGKILL')
      await gone
    },
  }
}
