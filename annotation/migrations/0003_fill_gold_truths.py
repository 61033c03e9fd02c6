"""Labels made so far belong to the policy version that was the latest then; their truths count."""

from django.db import migrations

VERSION_AT = """
UPDATE annotation_{table} AS row SET policy_version_id = (
    SELECT version.id
    FROM annotation_policyversion AS version
    JOIN annotation_conversationset AS held ON held.policy_id = version.policy_id
    JOIN annotation_conversation AS conversation ON conversation.conversation_set_id = held.id
    JOIN annotation_completion AS completion ON completion.conversation_id = conversation.id
    {join}
    ORDER BY version.created_at <= row.{moment} DESC,
             CASE WHEN version.created_at <= row.{moment} THEN version.number ELSE -version.number END DESC
    LIMIT 1
)
"""

OF_LABELS = VERSION_AT.format(
    table="label", join="WHERE completion.id = row.completion_id", moment="updated_at"
)
OF_EVENTS = VERSION_AT.format(
    table="labelevent",
    join="JOIN annotation_label AS label ON label.completion_id = completion.id WHERE label.id = row.label_id",
    moment="at",
)
CLICKS = """
UPDATE annotation_label SET clicked_at = updated_at;
UPDATE annotation_labelevent SET clicked_at = at;
"""
# The rule that held so far: the latest person's label, else the imported one. People who agree
# are unanimous; those who do not are in dispute from now on.
TRUTHS = """
INSERT INTO annotation_goldtruth (completion_id, proposition_id, truth, source)
SELECT completion_id, proposition_id,
       CASE WHEN people = 0 THEN imported WHEN n_true = people THEN true WHEN n_false = people THEN false END,
       CASE WHEN people = 0 THEN 'imported'
            WHEN people IN (n_true, n_false, n_cannot) THEN 'unanimous' ELSE 'disputed' END
FROM (
    SELECT completion_id, proposition_id,
           count(*) FILTER (WHERE annotator_id IS NOT NULL) AS people,
           count(*) FILTER (WHERE annotator_id IS NOT NULL AND answer = 'true') AS n_true,
           count(*) FILTER (WHERE annotator_id IS NOT NULL AND answer = 'false') AS n_false,
           count(*) FILTER (WHERE annotator_id IS NOT NULL AND answer = 'cannot_decide') AS n_cannot,
           bool_or(answer = 'true') FILTER (WHERE annotator_id IS NULL AND answer <> 'cannot_decide') AS imported
    FROM annotation_label GROUP BY completion_id, proposition_id
) AS votes
"""


class Migration(migrations.Migration):
    dependencies = [("annotation", "0002_labelling_sessions")]

    operations = [
        migrations.RunSQL(sql, migrations.RunSQL.noop)
        for sql in (OF_LABELS, OF_EVENTS, CLICKS, TRUTHS)
    ]
