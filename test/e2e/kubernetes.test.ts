/** deploy/kubernetes against the executable: what is deployed fits itself, and what is run. */
import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import { z } from 'zod'
import { runPostern } from '../kit/gateway.ts'
import { hasPods, startPod } from '../kit/pod.ts'
import { KINDS } from './kubernetes-kinds.ts'

setDefaultTimeout(30_000)

const FOLDER = resolve(import.meta.dir, '../../deploy/kubernetes')
const SECRET_FOLDER = '/etc/postern-secret'
/** What the stop of the gateway itself may take, beside the drain. */
const STOP_SECONDS = 10

const readYaml = (name: string): string => readFileSync(join(FOLDER, name), 'utf8')
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))
const documents = files.flatMap((file) =>
  parseAllDocuments(readYaml(file)).map((document) => ({ file, content: document.toJS() })),
)

/** The one manifest of a kind, or of a kind and a name, checked. */
function manifest<Kind extends keyof typeof KINDS>(
  kind: Kind,
  name = 'postern',
): z.output<(typeof KINDS)[Kind]> {
  const found = documents.find(
    ({ content }) => content.kind === kind && (content.metadata?.name ?? name) === name,
  )
  return KINDS[kind].parse(found?.content) as z.output<(typeof KINDS)[Kind]>
}

const deployment = manifest('Deployment')
const pod = deployment.spec.template.spec
const container = pod.containers[0]!
const config = manifest('ConfigMap').data
const secret = manifest('Secret').stringData
const gateway: unknown = parse(config['postern.yaml']!)

/** A value of the gateway's configuration, by its dotted key. */
function setting(key: string): unknown {
  return key.split('.').reduce<unknown>((at, part) => {
    return typeof at === 'object' && at !== null
      ? Object.entries(at).find(([name]) => name === part)?.[1]
      : undefined
  }, gateway)
}
const portOf = (key: string): number => Number(String(setting(key)).split(':').at(-1))
const seconds = (text: unknown): number => Number(/^(\d+)s$/.exec(String(text))?.[1])

describe('manifests', () => {
  test('have the keys that Kubernetes knows, and no others', () => {
    for (const { file, content } of documents) {
      const kind = z.enum(Object.keys(KINDS) as (keyof typeof KINDS)[]).parse(content.kind)
      const { error } = KINDS[kind].safeParse(content)
      expect(`${file}: ${error === undefined ? 'well' : z.prettifyError(error)}`).toBe(
        `${file}: well`,
      )
    }
  })

  test('are listed, but for the example and what needs an operator', () => {
    const { resources } = manifest('Kustomization')
    const others = ['kustomization.yaml', 'secret.example.yaml', 'servicemonitor.yaml']
    expect([...resources, ...others].sort()).toEqual([...files].sort())
  })

  test('find each other by their labels, names and ports', () => {
    const { labels } = deployment.spec.template.metadata
    const selectors = [
      deployment.spec.selector.matchLabels,
      manifest('PodDisruptionBudget').spec.selector.matchLabels,
      manifest('Service').spec.selector,
      manifest('Service', 'postern-metrics').spec.selector,
    ]
    for (const selector of selectors) expect(labels).toMatchObject(selector)
    const monitored = manifest('ServiceMonitor').spec
    const metrics = manifest('Service', 'postern-metrics')
    expect(metrics.metadata.labels!).toMatchObject(monitored.selector.matchLabels)
    expect(metrics.spec.ports.map(({ name }) => name)).toContain(monitored.endpoints[0]!.port)
    const names = container.ports.map(({ name }) => name)
    for (const service of [manifest('Service'), metrics]) {
      for (const { targetPort } of service.spec.ports) expect(names).toContain(targetPort)
    }
    for (const probe of [
      container.startupProbe,
      container.readinessProbe,
      container.livenessProbe,
    ]) {
      expect(probe.httpGet.port).toBe('metrics')
    }
    const ports = Object.fromEntries(container.ports.map((port) => [port.name, port.containerPort]))
    expect(ports['postgres']).toBe(portOf('servers.default.address'))
    expect(ports['metrics']).toBe(portOf('metrics.default.address'))
    const { annotations } = deployment.spec.template.metadata
    expect(annotations['prometheus.io/port']).toBe(String(ports['metrics']))
    expect(manifest('HorizontalPodAutoscaler').spec.scaleTargetRef.name).toBe('postern')
    expect(pod.serviceAccountName).toBe(manifest('ServiceAccount').metadata.name)
    const volumes = pod.volumes.map(({ name }) => name)
    expect(container.volumeMounts.map(({ name }) => name).sort()).toEqual([...volumes].sort())
  })

  test('give a pod the time that its drain takes', () => {
    const [command, pause] = container.lifecycle.preStop.exec.command
    expect(command).toBe('sleep')
    const drain = seconds(setting('drainTimeout'))
    const least = Number(pause) + drain + STOP_SECONDS
    expect(pod.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(least)
    // An unready pod is out of the service within the pause, or soon after.
    expect(container.readinessProbe.periodSeconds).toBeLessThanOrEqual(5)
  })

  test('ask for no right that the gateway does not need', () => {
    expect(pod.securityContext).toMatchObject({
      runAsNonRoot: true,
      seccompProfile: { type: 'RuntimeDefault' },
    })
    expect(container.securityContext).toEqual({
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      capabilities: { drop: ['ALL'] },
    })
    expect(pod.automountServiceAccountToken).toBe(false)
    const dockerfile = readFileSync(join(FOLDER, '../Dockerfile'), 'utf8')
    expect(dockerfile).toContain(`USER ${pod.securityContext.runAsUser}:`)
  })

  test('never leave less than two gateways to be disturbed, nor the last', () => {
    const { minReplicas } = manifest('HorizontalPodAutoscaler').spec
    expect(minReplicas).toBeGreaterThan(manifest('PodDisruptionBudget').spec.maxUnavailable)
    expect(deployment.spec.strategy.rollingUpdate.maxUnavailable).toBe(0)
  })
})

test('the configuration is one, with the secrets that the example names', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'postern-kubernetes-'))
  for (const [name, text] of Object.entries(secret)) writeFileSync(join(folder, name), text)
  for (const [name, text] of Object.entries(config)) {
    writeFileSync(join(folder, name), text.replaceAll(SECRET_FOLDER, folder))
  }
  const { status, stdout, stderr } = await runPostern(['config', 'lint'], { cwd: folder })
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' })
  expect(stdout).not.toContain('not acted on')
  const checked = await runPostern(['run', '--check'], { cwd: folder })
  expect(`${checked.status} ${checked.stderr}`).toStartWith('0 ')
  for (const [name, text] of Object.entries(config)) {
    for (const word of Object.values(secret)) expect(`${name} ${text}`).not.toContain(word.trim())
  }
  rmSync(folder, { recursive: true })
})

describe.skipIf(!(await hasPods()))('a pod (needs root, unshare, setpriv)', () => {
  test('runs with the rights that are given, is ready, and ends in order', async () => {
    const running = await startPod({ config, secret, args: container.args })
    const page = (path: string) => fetch(`http://127.0.0.1:${running.metricsPort}${path}`)
    expect((await page(container.livenessProbe.httpGet.path)).status).toBe(200)
    expect((await page(container.readinessProbe.httpGet.path)).status).toBe(200)
    expect(await (await page('/metrics')).text()).toContain('postern_store_up 0')
    const said = await running.log()
    expect(said).not.toContain(' ERR ')
    expect(said).not.toContain('change-me')
    expect(await running.stop()).toBe(0)
  })
})
