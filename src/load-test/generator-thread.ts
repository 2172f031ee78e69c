/** The thread of one load generator. */
import { parentPort, workerData } from 'node:worker_threads'
import { Generator } from './generator.ts'
import type { GeneratorOptions, GeneratorReport, GeneratorRequest } from './messages.ts'

const port = parentPort
if (port) {
  const generator = new Generator(workerData as GeneratorOptions, (report: GeneratorReport) =>
    port.postMessage(report),
  )
  port.on('message', (request: GeneratorRequest) => {
    generator.handle(request)
    if (request.type === 'close') port.close()
  })
}
