/** An entry of the plugins file as what a plugin is made from. */
import type { PluginEntry, PluginsConfig } from '../config/plugin-schema.ts'
import { policiesOf } from '../config/policies.ts'
import type { PluginLimits } from './limits.ts'
import type { PluginSpec } from './plugin.ts'
import { runtimeOf } from './registry.ts'

/** The limits as an entry gives them; no call may take longer than `timeout`. */
export function limitsOf({
  limits,
  timeout,
}: Pick<PluginEntry, 'limits' | 'timeout'>): PluginLimits {
  const { callDeadline, startDeadline, ...others } = limits
  return {
    ...others,
    callDeadlineMs: Math.min(callDeadline, timeout),
    startDeadlineMs: startDeadline,
  }
}

/** `file` is the configuration that the entry stands in. */
export function specOf(entry: PluginEntry, file: PluginsConfig): PluginSpec {
  return {
    name: entry.name,
    priority: entry.priority,
    runtime: entry.runtime ?? runtimeOf(entry.localPath),
    localPath: entry.localPath,
    checksum: entry.checksum,
    args: entry.args,
    env: entry.env,
    inheritEnv: entry.inheritEnv,
    config: entry.config,
    required: entry.required,
    onFailure: entry.onFailure,
    timeoutMs: entry.timeout,
    startTimeoutMs: entry.startTimeout,
    resultBytesMax: file.resultBytesMax,
    reloadOnCrash: file.reloadOnCrash,
    policies: policiesOf(file.policies, file.defaultPolicy),
    limits: limitsOf(entry),
  }
}
