/**
 * The entry point of the thread that runs the lease client: incoming messages are commands, outgoing ones are events.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { LeaseClient, type LeaseTerms, type ServedModel } from './lease-client.ts'

export interface LeaseStart {
  readonly terms: LeaseTerms
  readonly offers: readonly ServedModel[]
}

export type LeaseCommand =
  | { readonly type: 'update'; readonly offers: readonly ServedModel[] }
  | { readonly type: 'drain' }
  | { readonly type: 'leave' }

if (parentPort) {
  const port = parentPort
  const { terms, offers } = workerData as LeaseStart
  const client = new LeaseClient(terms, offers, (event) => port.postMessage(event))
  port.on('message', (command: LeaseCommand) => {
    if (command.type === 'update') client.update(command.offers)
    else if (command.type === 'drain') client.drain()
    else client.leave()
  })
  await client.run()
  port.close()
}
