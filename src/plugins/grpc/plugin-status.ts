/** What is told of a gRPC plugin, whether its process is run here or elsewhere. */
import type { CallCounts } from '../../metrics/calls.ts'
import type { PluginManifest, PluginSpec, PluginStatus } from '../plugin.ts'

/** What only the plugin itself knows. */
type Own = Pick<
  PluginStatus,
  | 'state'
  | 'restarts'
  | 'nextTryInMs'
  | 'readySince'
  | 'name'
  | 'checksum'
  | 'lastError'
  | 'pid'
  | 'lastLines'
>

export function statusOf(
  own: Own,
  spec: PluginSpec,
  manifest: PluginManifest | null,
  { calls, failures, spentMs }: CallCounts,
): PluginStatus {
  return {
    ...own,
    calls,
    failures,
    callMicros: Math.round(spentMs * 1000),
    runtime: 'grpc',
    priority: spec.priority,
    path: spec.localPath,
    version: manifest?.version ?? '',
    hooks: manifest?.hooks ?? [],
    onFailure: spec.onFailure,
    required: spec.required,
  }
}
