/**
 * The kinds of manifests that deploy/kubernetes has, with the keys that stand there: what a cluster
 * does not know it ignores or refuses, and either is a mistake that only a cluster would show.
 */
import { z } from 'zod'

const labels = z.record(z.string(), z.string())
const metadata = z.strictObject({
  name: z.string(),
  namespace: z.literal('postern').optional(),
  labels: labels.optional(),
})
const selector = z.strictObject({ matchLabels: labels })

function kind<const Version extends string, const Name extends string, S extends z.ZodRawShape>(
  apiVersion: Version,
  name: Name,
  shape: S,
) {
  const head = { apiVersion: z.literal(apiVersion), kind: z.literal(name), metadata }
  return z.strictObject({ ...head, ...shape })
}

const probe = z.strictObject({
  httpGet: z.strictObject({ path: z.enum(['/readyz', '/healthz']), port: z.string() }),
  periodSeconds: z.number(),
  timeoutSeconds: z.number().optional(),
  failureThreshold: z.number(),
})

const container = z.strictObject({
  name: z.string(),
  image: z.string(),
  args: z.array(z.string()),
  ports: z.array(z.strictObject({ name: z.string(), containerPort: z.number() })),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.boolean(),
    readOnlyRootFilesystem: z.boolean(),
    capabilities: z.strictObject({ drop: z.array(z.string()) }),
  }),
  resources: z.strictObject({ requests: labels, limits: labels }),
  startupProbe: probe,
  readinessProbe: probe,
  livenessProbe: probe,
  lifecycle: z.strictObject({
    preStop: z.strictObject({ exec: z.strictObject({ command: z.array(z.string()) }) }),
  }),
  volumeMounts: z.array(
    z.strictObject({
      name: z.string(),
      mountPath: z.string(),
      readOnly: z.boolean().optional(),
    }),
  ),
})

const pod = z.strictObject({
  serviceAccountName: z.string(),
  automountServiceAccountToken: z.boolean(),
  enableServiceLinks: z.boolean(),
  terminationGracePeriodSeconds: z.number(),
  securityContext: z.strictObject({
    runAsNonRoot: z.boolean(),
    runAsUser: z.number(),
    runAsGroup: z.number(),
    fsGroup: z.number(),
    seccompProfile: z.strictObject({ type: z.string() }),
  }),
  topologySpreadConstraints: z.array(
    z.strictObject({
      maxSkew: z.number(),
      topologyKey: z.string(),
      whenUnsatisfiable: z.enum(['ScheduleAnyway', 'DoNotSchedule']),
      labelSelector: selector,
    }),
  ),
  containers: z.array(container),
  volumes: z.array(
    z.strictObject({
      name: z.string(),
      configMap: z.strictObject({ name: z.literal('postern') }).optional(),
      secret: z
        .strictObject({ secretName: z.literal('postern'), defaultMode: z.number() })
        .optional(),
      emptyDir: z.strictObject({ medium: z.literal('Memory'), sizeLimit: z.string() }).optional(),
    }),
  ),
})

const scaling = z.strictObject({
  stabilizationWindowSeconds: z.number(),
  policies: z.array(
    z.strictObject({
      type: z.enum(['Pods', 'Percent']),
      value: z.number(),
      periodSeconds: z.number(),
    }),
  ),
})

export const KINDS = {
  Kustomization: z.strictObject({
    apiVersion: z.literal('kustomize.config.k8s.io/v1beta1'),
    kind: z.literal('Kustomization'),
    namespace: z.literal('postern'),
    resources: z.array(z.string()),
    images: z.array(
      z.strictObject({ name: z.string(), newName: z.string(), newTag: z.coerce.string() }),
    ),
  }),
  Namespace: kind('v1', 'Namespace', {}),
  ServiceAccount: kind('v1', 'ServiceAccount', { automountServiceAccountToken: z.boolean() }),
  ConfigMap: kind('v1', 'ConfigMap', { data: labels }),
  Secret: kind('v1', 'Secret', { type: z.literal('Opaque'), stringData: labels }),
  Service: kind('v1', 'Service', {
    spec: z.strictObject({
      type: z.literal('ClusterIP').optional(),
      clusterIP: z.literal('None').optional(),
      publishNotReadyAddresses: z.boolean().optional(),
      selector: labels,
      ports: z.array(
        z.strictObject({ name: z.string(), port: z.number(), targetPort: z.string() }),
      ),
    }),
  }),
  Deployment: kind('apps/v1', 'Deployment', {
    spec: z.strictObject({
      revisionHistoryLimit: z.number(),
      strategy: z.strictObject({
        type: z.literal('RollingUpdate'),
        rollingUpdate: z.strictObject({ maxSurge: z.number(), maxUnavailable: z.number() }),
      }),
      selector,
      template: z.strictObject({
        metadata: z.strictObject({ labels, annotations: labels }),
        spec: pod,
      }),
    }),
  }),
  PodDisruptionBudget: kind('policy/v1', 'PodDisruptionBudget', {
    spec: z.strictObject({ maxUnavailable: z.number(), selector }),
  }),
  HorizontalPodAutoscaler: kind('autoscaling/v2', 'HorizontalPodAutoscaler', {
    spec: z.strictObject({
      scaleTargetRef: z.strictObject({
        apiVersion: z.literal('apps/v1'),
        kind: z.literal('Deployment'),
        name: z.string(),
      }),
      minReplicas: z.number(),
      maxReplicas: z.number(),
      metrics: z.array(
        z.strictObject({
          type: z.literal('Resource'),
          resource: z.strictObject({
            name: z.literal('cpu'),
            target: z.strictObject({
              type: z.literal('Utilization'),
              averageUtilization: z.number(),
            }),
          }),
        }),
      ),
      behavior: z.strictObject({ scaleUp: scaling, scaleDown: scaling }),
    }),
  }),
  ServiceMonitor: kind('monitoring.coreos.com/v1', 'ServiceMonitor', {
    spec: z.strictObject({
      jobLabel: z.string(),
      selector,
      endpoints: z.array(
        z.strictObject({ port: z.string(), path: z.string(), interval: z.string() }),
      ),
    }),
  }),
} as const
