"""REST (CONTRACT section 6): the bodies that come in, the query parameters, the answers. The OpenAPI document is made
from these classes.

Times are epoch milliseconds. Lists are {items, next}: `next` is the cursor of the following page, null at the end.
"""

from townwatch.contracts.rest.alerts import (
    AlertList as AlertList,
    AlertQuery as AlertQuery,
    AlertView as AlertView,
)
from townwatch.contracts.rest.approvals import (
    AnswerView as AnswerView,
    ApprovalList as ApprovalList,
    ApprovalQuery as ApprovalQuery,
    DecisionBody as DecisionBody,
    DecisionMade as DecisionMade,
    Outcome as Outcome,
    PendingApproval as PendingApproval,
)
from townwatch.contracts.rest.bridge import (
    ActiveSession as ActiveSession,
    BridgeAgentView as BridgeAgentView,
    BridgeEnded as BridgeEnded,
    BridgeEvent as BridgeEvent,
    BridgeEvents as BridgeEvents,
    BridgeRegistered as BridgeRegistered,
    BridgeSession as BridgeSession,
    BridgeSessionView as BridgeSessionView,
    BridgeTaken as BridgeTaken,
    BridgeTakenOne as BridgeTakenOne,
)
from townwatch.contracts.rest.budgets import (
    BudgetAccountView as BudgetAccountView,
    BudgetChange as BudgetChange,
    BudgetList as BudgetList,
    BudgetRaise as BudgetRaise,
    BudgetView as BudgetView,
    NewBudget as NewBudget,
)
from townwatch.contracts.rest.channels import (
    CallList as CallList,
    CallQuery as CallQuery,
    CallSettings as CallSettings,
    CallView as CallView,
    ChannelChange as ChannelChange,
    ChannelList as ChannelList,
    ChannelView as ChannelView,
    ConfirmChannel as ConfirmChannel,
    EscalationPerson as EscalationPerson,
    EscalationSetting as EscalationSetting,
    EscalationView as EscalationView,
    MyCallSettings as MyCallSettings,
    NewChannel as NewChannel,
    PushSubscription as PushSubscription,
    QuietHours as QuietHours,
)
from townwatch.contracts.rest.clips import (
    ClipList as ClipList,
    ClipQuery as ClipQuery,
    ClipRow as ClipRow,
    ClipScreen as ClipScreen,
    ClipView as ClipView,
    NewClip as NewClip,
    OpenClip as OpenClip,
    SharedClip as SharedClip,
)
from townwatch.contracts.rest.connections import (
    BroadcastSent as BroadcastSent,
    ConnectionList as ConnectionList,
    ConnectionQuery as ConnectionQuery,
    ConnectionView as ConnectionView,
    NewBroadcast as NewBroadcast,
)
from townwatch.contracts.rest.diffs import (
    DiffQuery as DiffQuery,
    DiffView as DiffView,
)
from townwatch.contracts.rest.links import (
    LinkDecision as LinkDecision,
    LinkView as LinkView,
    OpenLink as OpenLink,
)
from townwatch.contracts.rest.people import (
    AdministratorRights as AdministratorRights,
    InvitedPerson as InvitedPerson,
    NewPerson as NewPerson,
    PersonList as PersonList,
    PersonView as PersonView,
)
from townwatch.contracts.rest.policies import (
    PolicyChange as PolicyChange,
    PolicyTrial as PolicyTrial,
    PolicyTrialResult as PolicyTrialResult,
    PolicyView as PolicyView,
    RuleProposal as RuleProposal,
    RuleQuery as RuleQuery,
    RuleSaving as RuleSaving,
    TriedApproval as TriedApproval,
)
from townwatch.contracts.rest.runners import (
    EnrolmentCode as EnrolmentCode,
    JoinedRunner as JoinedRunner,
    JoinRunner as JoinRunner,
    NewEnrolment as NewEnrolment,
    RegisterRunner as RegisterRunner,
    RunnerHeartbeat as RunnerHeartbeat,
    RunnerList as RunnerList,
    RunnerMode as RunnerMode,
    RunnerQuery as RunnerQuery,
    RunnerView as RunnerView,
    RunnerVillages as RunnerVillages,
)
from townwatch.contracts.rest.search import (
    SearchHit as SearchHit,
    SearchIndexView as SearchIndexView,
    SearchQuery as SearchQuery,
    SearchResults as SearchResults,
)
from townwatch.contracts.rest.sessions import (
    AgentStateView as AgentStateView,
    CleanWorktree as CleanWorktree,
    EndSession as EndSession,
    EventExport as EventExport,
    EventList as EventList,
    EventQuery as EventQuery,
    PromptBody as PromptBody,
    PromptList as PromptList,
    QueuedPromptView as QueuedPromptView,
    SessionCounts as SessionCounts,
    SessionFilter as SessionFilter,
    SessionList as SessionList,
    SessionOrderView as SessionOrderView,
    SessionQuery as SessionQuery,
    SessionView as SessionView,
    StartedBy as StartedBy,
    StartedSession as StartedSession,
    StopSession as StopSession,
    TakenPrompt as TakenPrompt,
    TerminalSize as TerminalSize,
    TypedInput as TypedInput,
    WorkspaceView as WorkspaceView,
    WorktreeView as WorktreeView,
)
from townwatch.contracts.rest.shared import (
    Cursor as Cursor,
    Done as Done,
    ErrorAnswer as ErrorAnswer,
    Limit as Limit,
    Name as Name,
    Note as Note,
    PageQuery as PageQuery,
    Problem as Problem,
    Promised as Promised,
    Role as Role,
    RunnerId as RunnerId,
    RunnerStatus as RunnerStatus,
    Scope as Scope,
    Secret as Secret,
    VillageId as VillageId,
)
from townwatch.contracts.rest.sign_in import (
    ExchangeCode as ExchangeCode,
    GrantedToken as GrantedToken,
    Me as Me,
    MyVillage as MyVillage,
    NewToken as NewToken,
    PasswordSignIn as PasswordSignIn,
    PastSignIn as PastSignIn,
    PastSignInList as PastSignInList,
    SetPassword as SetPassword,
    SignedIn as SignedIn,
    SignedOut as SignedOut,
    SignInLink as SignInLink,
    SignInMethods as SignInMethods,
    SignInProvider as SignInProvider,
    TokenList as TokenList,
    TokenView as TokenView,
    UserView as UserView,
)
from townwatch.contracts.rest.system import (
    Alive as Alive,
    ExitView as ExitView,
    LimitList as LimitList,
    LimitView as LimitView,
    MailboxView as MailboxView,
    Ready as Ready,
    ReplicaList as ReplicaList,
    ReplicaView as ReplicaView,
    ServiceStatus as ServiceStatus,
    SupervisionEvent as SupervisionEvent,
    SupervisionEventList as SupervisionEventList,
    SupervisionEventQuery as SupervisionEventQuery,
    SupervisionNode as SupervisionNode,
)
from townwatch.contracts.rest.villages import (
    AgentList as AgentList,
    AgentView as AgentView,
    AuditEntry as AuditEntry,
    AuditExport as AuditExport,
    AuditList as AuditList,
    AuditQuery as AuditQuery,
    HouseChange as HouseChange,
    HouseList as HouseList,
    HouseView as HouseView,
    MemberList as MemberList,
    MemberRole as MemberRole,
    MemberView as MemberView,
    NewVillage as NewVillage,
    VillageChange as VillageChange,
    VillageList as VillageList,
)
from townwatch.contracts.rest.webhooks import (
    DeliveryList as DeliveryList,
    DeliveryQuery as DeliveryQuery,
    DeliveryQueued as DeliveryQueued,
    DeliveryView as DeliveryView,
    NewWebhook as NewWebhook,
    RotateWebhook as RotateWebhook,
    WebhookChange as WebhookChange,
    WebhookList as WebhookList,
    WebhookMade as WebhookMade,
    WebhookView as WebhookView,
)
