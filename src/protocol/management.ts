/**
 * Calls that manage a model server, of servers whose paths no dialect here reads: they load and unload models and adapters,
 * or stop the server's work for everybody.
 */
import type { Target } from '../core/call.ts'

const PATHS = new RegExp(
  `^(?:${[
    // The repository, memory and trace extensions of V2 servers, where they stand behind an opaque route.
    '/v2/repository/models/[^/]+/(?:load|unload)',
    '/v2/(?:system|cuda)sharedmemory(?:/.*)?',
    '/v2/(?:logging|(?:models/[^/]+/)?trace/setting)',
    // vLLM, SGLang, llama.cpp.
    '/(?:v1/)?(?:un)?load_lora_adapter',
    '/(?:sleep|wake_up|reset_(?:prefix|mm|encoder)_cache|flush_cache|collective_rpc)',
    '/(?:start|stop)_profile',
    '/(?:update_weights\\w*|init_weights_update_group|(?:release|resume)_memory_occupation|pause|resume)',
    '/(?:slots/[^/]+|lora-adapters|models/(?:un)?load)',
    // Ollama.
    '/api/(?:pull|push|create|copy|delete|blobs/.*)',
    // TorchServe's workflows; its models are of `managedModel`.
    '/workflows(?:/.*)?',
  ].join('|')})$`,
)

/** What a target says of a call with this method to this path: that it manages the server, or nothing. */
export function management(method: string, path: string): Pick<Target, 'manages'> {
  return method !== 'GET' && method !== 'HEAD' && PATHS.test(path) ? MANAGES : NOTHING
}

const MANAGES = { manages: true }
const NOTHING = {}

/** The calls of them after which a model may answer otherwise: adapters and weights are loaded, models pulled and deleted. */
const DEPLOYS =
  /^\/(?:(?:v1\/)?(?:un)?load_lora_adapter|update_weights\w*|lora-adapters|models\/(?:un)?load|api\/(?:pull|create|copy|delete))$/

export function isDeployment(method: string, path: string): boolean {
  return method !== 'GET' && method !== 'HEAD' && DEPLOYS.test(path)
}
