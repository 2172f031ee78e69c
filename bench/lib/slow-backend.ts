/** A model server with a known speed: works on one batch at a time, and takes so long for each of its rows. */
import { createServer, type ServerResponse } from 'node:http'

const [port, msPerRow] = process.argv.slice(2).map(Number)
if (port === undefined || msPerRow === undefined) throw new Error('slow-backend.ts PORT MS_PER_ROW')

interface Job {
  readonly rows: number
  readonly body: string
  readonly response: ServerResponse
}

const counts = { requests: 0, rows: 0 }
const jobs: Job[] = []
let working = false

/** Works through the queue; what nobody waits for any more costs nothing, or one load would slow the next. */
function work(from: number): void {
  for (let job = jobs.shift(); job; job = jobs.shift()) {
    if (job.response.destroyed) continue
    const { response, body, rows } = job
    working = true
    // A timer is late by up to a millisecond: the next batch begins when this one was to end, not when it did.
    const until = from + rows * (msPerRow ?? 0)
    const done = () => {
      response.end(body)
      working = false
      work(until)
    }
    setTimeout(done, until - performance.now())
    return
  }
}

createServer((request, response) => {
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => {
    response.setHeader('content-type', 'application/json')
    if (request.url === '/counts') return void response.end(JSON.stringify(counts))
    if (request.method !== 'POST') return void response.end('{}')
    const { instances } = JSON.parse(Buffer.concat(chunks).toString()) as { instances: number[][] }
    counts.requests++
    counts.rows += instances.length
    jobs.push({
      rows: instances.length,
      body: JSON.stringify({ predictions: instances.map((row) => row[0]) }),
      response,
    })
    if (!working) work(performance.now())
  })
}).listen(port, '127.0.0.1')
