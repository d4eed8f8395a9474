%% Runs scenarios on OTP's own supervisor and prints what happened, one line a scenario.
%% A scenario: {Strategy, Intensity, AutoShutdown, [Spec], [Step]}, see scenarios.py.
-module(oracle).
-export([main/1, init/1, start_child/4, child_init/4]).

main([File]) ->
    {ok, Scenarios} = file:consult(File),
    logger:set_primary_config(level, none),
    process_flag(trap_exit, true),
    lists:foreach(fun(Scenario) -> io:format("~s~n", [run(Scenario)]) end, Scenarios).

run({Strategy, Intensity, Auto, Specs, Steps}) ->
    Plans = ets:new(plans, [public]),
    Flags = #{strategy => Strategy, intensity => Intensity, period => 3600, auto_shutdown => Auto},
    Out = case supervisor:start_link(?MODULE, {Flags, [spec(S, Plans) || S <- Specs]}) of
        {ok, Sup} ->
            First = drain(),
            Rest = steps(Steps, Sup, Plans),
            Last = case is_process_alive(Sup) of
                true -> exit(Sup, shutdown), gone(Sup), ["end" | drain()];
                false -> ["dead" | drain()]
            end,
            lists:join(" ", First ++ Rest ++ Last);
        {error, _} ->
            flush_exits(),
            lists:join(" ", drain() ++ ["nostart"])
    end,
    ets:delete(Plans),
    Out.

init({Flags, Specs}) -> {ok, {Flags, Specs}}.

%% Each spec has a plan of its own: whether its first, second, ... start succeeds; after its end all do.
spec({Id, Restart, Significant, Stop, Plan}, Plans) ->
    Key = make_ref(),
    ets:insert(Plans, {Key, Plan}),
    Shutdown = case Stop of polite -> 5000; deaf -> 5; brutal -> brutal_kill end,
    #{id => Id, start => {?MODULE, start_child, [self(), Id, {Plans, Key}, Stop]},
      restart => Restart, significant => Significant, shutdown => Shutdown}.

steps([], _, _) -> [];
steps([Step | More], Sup, Plans) ->
    case is_process_alive(Sup) of
        false -> [];
        true ->
            Answer = step(Step, Sup, Plans),
            settle(Sup),
            drain() ++ [Answer | states(Sup)] ++ [";"] ++ steps(More, Sup, Plans)
    end.

step({start, Spec}, Sup, Plans) -> answer(catch supervisor:start_child(Sup, spec(Spec, Plans)));
step({terminate, Id}, Sup, _) -> answer(catch supervisor:terminate_child(Sup, Id));
step({restart, Id}, Sup, _) -> answer(catch supervisor:restart_child(Sup, Id));
step({delete, Id}, Sup, _) -> answer(catch supervisor:delete_child(Sup, Id));
step({Reason, Id}, Sup, _) ->
    case lists:keyfind(Id, 1, supervisor:which_children(Sup)) of
        {Id, Pid, _, _} when is_pid(Pid) ->
            Ref = monitor(process, Pid),
            Pid ! {die, Reason},
            receive {'DOWN', Ref, _, _, _} -> "|" end;
        _ -> "|"
    end.

answer(ok) -> "=ok";
answer({ok, _}) -> "=ok";
answer({error, {already_started, _}}) -> "=already_started";
answer({error, Word}) when Word =:= already_present; Word =:= not_found; Word =:= running; Word =:= restarting ->
    "=" ++ atom_to_list(Word);
answer(_) -> "=fail".

%% Quiet when three looks a moment apart agree and nobody is restarting.
settle(Sup) -> settle(Sup, undefined, 0).
settle(Sup, Before, Same) ->
    timer:sleep(1),
    Now = (catch supervisor:which_children(Sup)),
    Busy = is_list(Now) andalso lists:any(fun({_, Pid, _, _}) -> Pid =:= restarting end, Now),
    if Now =:= Before, not Busy, Same >= 1 -> ok;
       Now =:= Before, not Busy -> settle(Sup, Now, Same + 1);
       true -> settle(Sup, Now, 0) end.

states(Sup) ->
    case catch supervisor:which_children(Sup) of
        Children when is_list(Children) ->
            [atom_to_list(Id) ++ case is_pid(Pid) of true -> "^"; false -> "_" end
             || {Id, Pid, _, _} <- lists:reverse(Children)];
        _ -> ["dead"]
    end.

drain() -> receive {trace, Text} -> [Text | drain()] after 0 -> [] end.
flush_exits() -> receive {'EXIT', _, _} -> flush_exits() after 0 -> ok end.
gone(Pid) -> receive {'EXIT', Pid, _} -> ok end.

start_child(Tracer, Id, {Plans, Key}, Stop) ->
    [{Key, Plan}] = ets:lookup(Plans, Key),
    case Plan of
        [fail | Rest] ->
            ets:insert(Plans, {Key, Rest}),
            Tracer ! {trace, "!" ++ atom_to_list(Id)},
            {error, boom};
        [ok | Rest] -> ets:insert(Plans, {Key, Rest}), go(Tracer, Id, Stop);
        [] -> go(Tracer, Id, Stop)
    end.
go(Tracer, Id, Stop) -> proc_lib:start_link(?MODULE, child_init, [self(), Tracer, Id, Stop]).

child_init(Parent, Tracer, Id, Stop) ->
    process_flag(trap_exit, true),
    Tracer ! {trace, "+" ++ atom_to_list(Id)},
    proc_lib:init_ack(Parent, {ok, self()}),
    child_loop(Parent, Tracer, Id, Stop).

child_loop(Parent, Tracer, Id, Stop) ->
    receive
        {'EXIT', Parent, _} when Stop =:= deaf ->
            Tracer ! {trace, "~" ++ atom_to_list(Id)},
            child_loop(Parent, Tracer, Id, Stop);
        {'EXIT', Parent, Reason} -> Tracer ! {trace, "-" ++ atom_to_list(Id)}, exit(Reason);
        {die, Reason} -> exit(Reason)
    end.
