/** The program that a side asks, as a run wants it. */
import type { Figures, ServerName } from './scenarios.ts'
import { type Server, startInfergate, startLitellm, startNginx, startVllmRouter } from './servers.ts'

export interface Terms {
  /** For configurations and scripts. */
  readonly folder: string
  readonly rounds: number
  readonly seconds: number
  /** src/main.ts of another checkout. */
  readonly before: string | undefined
  readonly nodeArgs: readonly string[]
}

/** Loads a side for so many seconds; as a warm-up perhaps more than it is measured with. */
export type Turn = (seconds: number, isWarmUp?: boolean) => Promise<Figures>

export async function started(
  name: ServerName,
  ports: readonly number[],
  { folder, before, nodeArgs }: Terms,
  policy?: 'prefix',
): Promise<Server> {
  const [port = 0] = ports
  if (name === 'direct') return { port, process: undefined }
  if (name === 'nginx') return startNginx(folder, port)
  if (name === 'litellm') return startLitellm(folder, port)
  if (name === 'vllm-router') return startVllmRouter(ports)
  const main = name === 'before' ? before : undefined
  return startInfergate(folder, ports, { main, nodeArgs, ...(policy && { policy }) })
}
