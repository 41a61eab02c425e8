# Which URLs of a domain are the same resource, for Varnish: one block for each kind of rule, included by varnish.vcl.
# Write here what the domain's key rules in Catharsis say, no more and no less; the hosts are examples. Why: docs/caches/README.md.
#
# Each block changes what the key is made of, for GET and PURGE alike, and never the request that goes to the origin:
#   X-Catharsis-Host    the host, lower case, with a port other than 80 and 443
#   X-Catharsis-Target  path and query
#   X-Catharsis-Scheme  absent; `http://` or `https://` where the scheme is part of the key

sub vcl_recv {
    # No query counts.
    if (req.http.Host ~ "^drop\.rules\.test(:|$)") {
        set req.http.X-Catharsis-Target = regsub(req.http.X-Catharsis-Target, "\?.*$", "");
    }

    # Only the parameters `id` and `v` count.
    if (req.http.Host ~ "^only\.rules\.test(:|$)") {
        set req.http.X-Catharsis-Query = regsub(req.http.X-Catharsis-Target, "^[^?]*\??", "&");
        set req.http.X-Catharsis-Query = regsuball(req.http.X-Catharsis-Query, "&(?!(?:id|v)(?:[=&]|$))[^&]*", "");
        call catharsis_query;
    }

    # All parameters count but `utm_source` and `sid`.
    if (req.http.Host ~ "^without\.rules\.test(:|$)") {
        set req.http.X-Catharsis-Query = regsub(req.http.X-Catharsis-Target, "^[^?]*\??", "&");
        set req.http.X-Catharsis-Query = regsuball(req.http.X-Catharsis-Query, "&(?:(?:utm_source|sid)(?:=[^&]*)?)?(?=&|$)", "");
        call catharsis_query;
    }

    # The order of the parameters does not count. An empty one counts no more.
    if (req.http.Host ~ "^sorted\.rules\.test(:|$)") {
        set req.http.X-Catharsis-Query = regsub(req.http.X-Catharsis-Target, "^[^?]*\??", "&");
        set req.http.X-Catharsis-Query = regsuball(req.http.X-Catharsis-Query, "&(?=&|$)", "");
        call catharsis_sorted_query;
    }

    # Upper and lower case of the path's ASCII letters do not differ; those of the query do.
    if (req.http.Host ~ "^folded\.rules\.test(:|$)") {
        set req.http.X-Catharsis-Target =
            std.tolower(regsub(req.http.X-Catharsis-Target, "\?.*$", "")) + regsub(req.http.X-Catharsis-Target, "^[^?]*", "");
    }

    # http and https are two resources. Whoever ends TLS sets X-Forwarded-Proto on every request; absent means http.
    if (req.http.Host ~ "^scheme\.rules\.test(:|$)") {
        if (req.http.X-Forwarded-Proto ~ "(?i)^https$") {
            set req.http.X-Catharsis-Scheme = "https://";
        } else {
            set req.http.X-Catharsis-Scheme = "http://";
        }
    }

    # No port is part of the key.
    if (req.http.Host ~ "^port\.rules\.test(:|$)") {
        set req.http.X-Catharsis-Host = regsub(req.http.X-Catharsis-Host, ":[0-9]+$", "");
    }

    # Several at once: all parameters but `utm_source` and `sid`, in any order, whatever the path's case and the port.
    if (req.http.Host ~ "^all\.rules\.test(:|$)") {
        set req.http.X-Catharsis-Host = regsub(req.http.X-Catharsis-Host, ":[0-9]+$", "");
        set req.http.X-Catharsis-Target =
            std.tolower(regsub(req.http.X-Catharsis-Target, "\?.*$", "")) + regsub(req.http.X-Catharsis-Target, "^[^?]*", "");
        set req.http.X-Catharsis-Query = regsub(req.http.X-Catharsis-Target, "^[^?]*\??", "&");
        set req.http.X-Catharsis-Query = regsuball(req.http.X-Catharsis-Query, "&(?:(?:utm_source|sid)(?:=[^&]*)?)?(?=&|$)", "");
        call catharsis_sorted_query;
    }
}

# Puts the parameters that are left, each with a `&` before it, in the place of the query; without any there is no `?` either.
sub catharsis_query {
    set req.http.X-Catharsis-Target =
        regsub(req.http.X-Catharsis-Target, "\?.*$", "") + regsub(req.http.X-Catharsis-Query, "^&", "?");
    unset req.http.X-Catharsis-Query;
}

# The same, sorted by their bytes. `std.querysort` leaves `a=10` and `a=1` as they are, since the one begins with the other:
# with a blank behind each, which no URL holds, none does.
sub catharsis_sorted_query {
    set req.http.X-Catharsis-Query = regsuball(req.http.X-Catharsis-Query, "&[^&]+", "\0 ");
    call catharsis_query;
    set req.http.X-Catharsis-Target = regsuball(std.querysort(req.http.X-Catharsis-Target), " ", "");
}
