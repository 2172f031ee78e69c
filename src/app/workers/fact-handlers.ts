/** Answers workers that ask for what keys cover. */
import type { SharedFacts } from '../shared-facts.ts'
import type { WorkerRpc } from './worker-supervisor.ts'

type FactHandlers = Pick<Parameters<WorkerRpc['handle']>[0], 'epochs' | 'deployment'>

export function factHandlers({ epochs, deployments }: SharedFacts): FactHandlers {
  return {
    // The state is read after loading: a purge in between was pushed to the worker before this answer, and the answer
    // must not undo it.
    epochs: async (names) => {
      await epochs.load(names)
      return names.map((name) => {
        const epoch = epochs.state(name)
        if (!epoch) throw new Error(`epoch ${name} was forgotten at once`)
        return { value: epoch.value, shared: epoch.shared }
      })
    },
    deployment: async ({ pool, model, withinMs }) => {
      const { token, versions, isStated } = await deployments.loadModel(pool, model, withinMs)
      return { token, versions, isStated }
    },
  }
}
