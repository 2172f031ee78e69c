/** The program that a side asks, as a run wants it. */
import type { Figures, ServerName } from './scenarios.ts'
import { type Server, startInfergate, startLitellm, startVllmRouter } from './servers.ts'

export interface Terms {
  /** For configurations and scripts. */
  readonly folder: string
  readonly rounds: number
  readonly seconds: number
  /** src/main.ts of another checkout. */
  readonly before: string | undefined
  readonly nodeArgs: readonly string[]
}

/** Loads a side for so many seconds. */
export type Turn = (seconds: number) => Promise<Figures>

export async function started(
  name: ServerName,
  ports: readonly number[],
  { folder, before, nodeArgs }: Terms,
  policy?: 'prefix',
): Promise<Server> {
  const [port = 0] = ports
  if (name === 'direct') return { port, process: undefined }
  if (name === 'litellm') return startLitellm(folder, port)
  if (name === 'vllm-router') return startVllmRouter(ports)
  const main = name === 'before' ? before : undefined
  return startInfergate(folder, ports, { main, nodeArgs, ...(policy && { policy }) })
}
